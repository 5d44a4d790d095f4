"""Secret values: configured, or made once outside production and shared through the database."""

import hashlib
import os
from collections.abc import Iterable, Mapping

import asyncpg
from ragwork_hooks.errors import ConfigError

from ragwork_kernel.config import Layers

MIN_BYTES = 32


class KernelSecrets:
    """Implements ``ragwork_hooks.plugin.Secrets`` over values resolved at boot."""

    def __init__(self, layers: Layers, keys: Mapping[str, bytes]) -> None:
        self._layers = layers
        self._keys = keys

    def key(self, name: str) -> bytes:
        try:
            return self._keys[name]
        except KeyError:
            raise LookupError(f"secret {name!r} is not declared in the plugin's info") from None

    def value(self, name: str) -> str | None:
        found = self._layers.lookup("", "", name)
        return None if found is None else str(found[0])


async def resolve(names: Iterable[str], layers: Layers, app_dsn: str, production: bool) -> dict[str, bytes]:
    """Key material by name. Raises ``ConfigError`` naming every one that production lacks."""
    keys: dict[str, bytes] = {}
    missing: list[str] = []
    for name in sorted(set(names)):
        found = layers.lookup("", "", name)
        if found is not None:
            keys[name] = _derive(name, str(found[0]))
        else:
            missing.append(name)
    if missing and production:
        raise ConfigError(
            ", ".join(missing),
            "unset, and the production profile makes no secrets of its own",
            f"mount /run/secrets/{missing[0].lower()} with at least {MIN_BYTES} random characters",
        )
    if missing:
        keys |= await _shared(missing, app_dsn)
    return keys


async def _shared(names: Iterable[str], app_dsn: str) -> dict[str, bytes]:
    connection = await asyncpg.connect(app_dsn)
    try:
        return {
            name: await connection.fetchval(
                "SELECT ragwork.shared_secret($1, $2)", name, os.urandom(MIN_BYTES)
            )
            for name in names
        }
    finally:
        await connection.close()


def _derive(name: str, text: str) -> bytes:
    if len(text) < MIN_BYTES:
        raise ConfigError(name, f"has {len(text)} characters", f"use at least {MIN_BYTES} random ones")
    return hashlib.sha256(text.encode()).digest()
