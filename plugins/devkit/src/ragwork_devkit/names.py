"""Which names a plugin can have."""

import re
from importlib import metadata
from typing import Final

from ragwork_hooks.errors import ConfigError

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
MAX_LENGTH: Final = 20
#: Names that mean something else where a plugin's name stands: a config section, a schema, a module.
_TAKEN: Final = frozenset({"cli", "hooks", "kernel", "public", "ragwork", "testkit", "toolkit"})


def check(name: str) -> str:
    """``name`` when a plugin can have it. Raises ``ConfigError`` with the nearest name that would do."""
    where = f"plugin name {name!r}"
    if not _NAME.fullmatch(name) or len(name) > MAX_LENGTH:
        raise ConfigError(
            where,
            f"is not 1 to {MAX_LENGTH} lower case letters, digits and single underscores, a letter first",
            f"try {nearest(name)!r}",
        )
    if name in _TAKEN or name.startswith("pg_"):
        raise ConfigError(where, "is reserved", f"try {nearest(f'my_{name}')!r}")
    owner = _owner(name)
    if owner is not None:
        raise ConfigError(where, f"is the plugin of the installed {owner}", f"try {nearest(f'my_{name}')!r}")
    return name


def nearest(name: str) -> str:
    """``name`` bent until it is well formed: ``Acme Chat!`` → ``acme_chat``."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    bent = re.sub(r"[^a-z0-9]+", "_", spaced.lower()).lstrip("_0123456789")[:MAX_LENGTH].strip("_")
    return bent or "my_plugin"


def distribution(name: str) -> str:
    """What the package is called where it is installed from."""
    return "ragwork-" + name.replace("_", "-")


def _owner(name: str) -> str | None:
    for point in metadata.entry_points(group="ragwork.plugins", name=name):
        if point.dist is not None and point.dist.name != distribution(name):
            return point.dist.name
    return distribution(name) if metadata.entry_points(group="ragwork.plugins", name=name) else None
