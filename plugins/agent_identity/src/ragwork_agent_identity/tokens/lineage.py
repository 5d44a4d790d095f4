"""What a token descends from: every fact whose end is the token's own end.

A token carries its lineage, and so does whatever is derived from it; there is one judgement over it, see
``token_validity``. A link without a ``credential`` is an agent that never proved itself: another asked for the token
in its name, and is bound by the rights of both.
"""

from collections.abc import Mapping
from typing import Any

import attrs

from ragwork_agent_identity.tokens import token_signing
from ragwork_agent_identity.tokens.token_signing import Unverified


@attrs.frozen(kw_only=True)
class Link:
    """One agent's token. ``revision`` is the agent's that was decided on, ``credential`` the id of the secret or
    key that it proved itself with.
    """

    agent: str
    revision: int
    credential: str | None
    jti: str


@attrs.frozen(kw_only=True)
class Lineage:
    """``links`` from the token itself to the first of the chain; ``person`` is whom that one acts for."""

    tenant_id: str
    kid: str
    links: tuple[Link, ...]
    grant: str
    scopes: tuple[str, ...]
    audience: str
    task_id: str | None
    person: str | None
    delegation_id: str | None
    family: str | None

    @property
    def ids(self) -> frozenset[str]:
        """Of all that it stands on, people apart."""
        mixed = (self.kid, self.delegation_id, self.family)
        links = (value for link in self.links for value in (link.jti, link.credential))
        return frozenset(value for value in (*mixed, *links) if value is not None)

    def behalf(self, position: int) -> str | None:
        """For whom the agent at ``position`` acts: the person, else the agent before it in the chain."""
        before = self.links[position + 1 :]
        return self.person or (before[0].agent if before else None)

    def acting(self) -> tuple[Link, ...]:
        """The same links, the nearest one that proved itself first: it is the one who acts."""
        proven = next((link for link in self.links if link.credential is not None), self.links[-1])
        return (proven, *(link for link in self.links if link is not proven))

    def claim(self) -> dict[str, object]:
        """What no other claim of a token says of it."""
        links = [attrs.asdict(link) for link in self.links]
        return {"grant": self.grant, "person": self.person, "family": self.family, "links": links}


def of_claims(claims: Mapping[str, Any], kid: str) -> Lineage:
    """The lineage of a verified token. Raises ``Unverified``."""
    about, said = claims.get("agent"), claims.get("lineage")
    if not isinstance(about, dict) or not isinstance(said, dict):
        raise Unverified("it does not say what it descends from; ask for a new one")
    return Lineage(
        tenant_id=token_signing.text(claims, "tenant_id"),
        kid=kid,
        links=tuple(Link(**link) for link in said["links"]),
        grant=said["grant"],
        scopes=tuple(token_signing.text(claims, "scope").split(" ")),
        audience=token_signing.text(claims, "aud"),
        task_id=about.get("task_id"),
        person=said["person"],
        delegation_id=claims.get("delegation_id"),
        family=said["family"],
    )


def packed(lineage: Lineage) -> dict[str, object]:
    """As plain JSON data."""
    return attrs.asdict(lineage)


def unpacked(data: Mapping[str, Any]) -> Lineage:
    """The reverse of ``packed``."""
    links = tuple(Link(**link) for link in data["links"])
    return Lineage(**{**data, "links": links, "scopes": tuple(data["scopes"])})
