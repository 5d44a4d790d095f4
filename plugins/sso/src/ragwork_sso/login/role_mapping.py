"""From a provider's claims to a role.

Two forms, both of the contract: ``{"groups": {"Admins": "admin"}, "realm_access.roles": {...}}`` names
claims, ``{"claim": "roles", "mapping": {"staff": "reader"}}`` one claim. A claim is named whole, or as a
path with dots through nested objects. The highest role that anything matches wins.
"""

from collections.abc import Mapping
from typing import Final

from ragwork_hooks.auth import Role

from ragwork_sso.problems import invalid

_FIELD: Final = "role_mapping_json"
_MAX_CLAIMS: Final = 20
_MAX_VALUES: Final = 500
_MAX_TEXT: Final = 256


def checked(mapping: Mapping[str, object]) -> Mapping[str, object]:
    """``mapping`` itself. ``Problem`` 422 for anything that could not be applied."""
    tables = _tables(mapping)
    if len(tables) > _MAX_CLAIMS:
        raise invalid(_FIELD, f"names {len(tables)} claims, at most {_MAX_CLAIMS} are taken")
    for claim, table in tables.items():
        if not isinstance(table, dict) or len(table) > _MAX_VALUES:
            raise invalid(_FIELD, f"{claim[:80]!r} needs an object of at most {_MAX_VALUES} values and roles")
        for text in (claim, *table):
            if not 0 < len(text) <= _MAX_TEXT:
                raise invalid(_FIELD, f"names and values have 1 to {_MAX_TEXT} characters")
        for role in table.values():
            _role(role)
    return mapping


def role_for(mapping: Mapping[str, object], default: Role, claims: Mapping[str, object]) -> Role:
    """The role that ``claims`` earn under a checked ``mapping``; ``default`` when nothing matches."""
    earned = [
        _role(table[value])
        for claim, table in _tables(mapping).items()
        if isinstance(table, dict)
        for value in _values(claims, claim)
        if value in table
    ]
    return max(earned, default=default)


def roles(mapping: Mapping[str, object]) -> list[Role]:
    """Every role that a checked ``mapping`` can give."""
    tables = _tables(mapping).values()
    return [_role(name) for table in tables if isinstance(table, dict) for name in table.values()]


def _tables(mapping: Mapping[str, object]) -> Mapping[str, object]:
    if set(mapping) == {"claim", "mapping"} and isinstance(mapping["claim"], str):
        return {mapping["claim"]: mapping["mapping"]}
    return mapping


def _role(name: object) -> Role:
    try:
        return Role.parse(str(name))
    except ValueError as error:
        raise invalid(_FIELD, str(error)) from error


def _values(claims: Mapping[str, object], path: str) -> list[str]:
    """The texts at ``path``: a claim's own name goes before a path, since names may hold dots."""
    found: object = claims.get(path)
    if found is None:
        found = claims
        for part in path.split("."):
            found = found.get(part) if isinstance(found, dict) else None
    listed = found if isinstance(found, list) else [found]
    return [value for value in listed if isinstance(value, str)]
