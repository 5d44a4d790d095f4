"""Secret values: configured, or made once outside production and shared through the database."""

import hashlib
import os
from collections.abc import Iterable, Mapping

import asyncpg
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.redaction import Redactor

from ragwork_kernel.base.config import raise_all
from ragwork_kernel.base.layers import SettingsLayers
from ragwork_kernel.base.telemetry import teach_logging

MIN_BYTES = 32


class KernelSecrets:
    """Implements ``ragwork_hooks.services.Secrets`` over values resolved at boot."""

    def __init__(self, layers: SettingsLayers, keys: Mapping[str, bytes], redactor: Redactor) -> None:
        self._layers = layers
        self._keys = keys
        self._redactor = redactor
        self._told: set[str] = set()

    def key(self, name: str) -> bytes:
        try:
            return self._keys[name]
        except KeyError:
            raise LookupError(f"secret {name!r} is not declared in the plugin's info") from None

    def value(self, name: str) -> str | None:
        found = self._layers.lookup("", "", name)
        if found is None:
            return None
        value = str(found[0])
        if value not in self._told:
            # Known only now that somebody uses it; from here on neither log nor record may have it.
            self._told.add(value)
            self._redactor.learn((), (value,))
            teach_logging((), (value,))
        return value


async def resolve(
    names: Iterable[str], layers: SettingsLayers, app_dsn: str, production: bool
) -> dict[str, bytes]:
    """Key material by name; outside production what is unset is made once. Raises ``ConfigError``."""
    raise_all(faults(names, layers, production))
    keys: dict[str, bytes] = {}
    missing: list[str] = []
    for name in sorted(set(names)):
        found = layers.lookup("", "", name)
        if found is not None:
            keys[name] = hashlib.sha256(str(found[0]).encode()).digest()
        else:
            missing.append(name)
    if missing:
        keys |= await _shared(missing, app_dsn)
    return keys


def faults(names: Iterable[str], layers: SettingsLayers, production: bool) -> list[ConfigError]:
    """What is too short, and in production what is unset."""
    errors = []
    for name in sorted(set(names)):
        try:
            found = layers.lookup("", "", name)
        except ConfigError as error:
            errors.append(error)
            continue
        if found is None and production:
            errors.append(unset(name, "the production profile makes no secrets of its own"))
        elif found is not None and len(str(found[0])) < MIN_BYTES:
            errors.append(
                ConfigError(
                    layers.place("", "", name),
                    f"has {len(str(found[0]))} characters",
                    f"use at least {MIN_BYTES} random ones",
                )
            )
    return errors


def unset(name: str, why: str) -> ConfigError:
    """That production needs ``name``."""
    return ConfigError(
        name,
        f"is unset ({why})",
        f"mount /run/secrets/{name.lower()} with at least {MIN_BYTES} random characters",
    )


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
