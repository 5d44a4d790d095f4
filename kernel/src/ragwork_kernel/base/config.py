"""Settings: the kernel's own, and the checked objects of every plugin.

Every field of every settings class names its environment variable; two owners of one name, an unknown
key and a value of the wrong type stop the boot, all of them told at once with place and fix.
"""

import types
import typing
from collections import abc
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import attrs
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.settings import header_value, http_url, network, setting, settings_of

from ragwork_kernel.base.layers import Layer, SettingsLayers, nearest


@attrs.frozen(kw_only=True)
class KernelConfig:
    """Settings of the kernel itself: section ``[kernel]``."""

    app_name: str = setting("APP_NAME", "ragwork", "service label in metrics, traces and logs")
    log_level: str = setting("LOG_LEVEL", "INFO", "log level", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    profile: Literal["development", "test", "production"] = setting(
        "RAGWORK_PROFILE",
        "development",
        "what is demanded at start: production refuses missing secrets",
        choices=("development", "test", "production"),
    )
    plugins: tuple[str, ...] | None = setting(
        "RAGWORK_PLUGINS", None, "enabled plugins in order; unset enables the installed assembly"
    )
    plugins_add: tuple[str, ...] = setting(
        "RAGWORK_PLUGINS_ADD", (), "plugins enabled beside those of RAGWORK_PLUGINS or of the assembly"
    )
    plugins_remove: tuple[str, ...] = setting(
        "RAGWORK_PLUGINS_REMOVE", (), "plugins of RAGWORK_PLUGINS or of the assembly that are not enabled"
    )
    plugin_lock: str | None = setting(
        "RAGWORK_PLUGIN_LOCK",
        None,
        "lock file of `ragwork plugins lock`; set: a plugin that is not listed or differs is not imported",
    )
    gate_order: tuple[str, ...] = setting(
        "RAGWORK_GATE_ORDER", (), "gates that are asked first, by name; the rest follow plugin order"
    )
    database_url: str | None = setting(
        "DATABASE_URL", None, "Postgres DSN; unset starts the embedded server", secret=True
    )
    database_owner_url: str | None = setting(
        "DATABASE_OWNER_URL", None, "DSN of the role that migrates and makes roles", secret=True
    )
    database_dispatcher_url: str | None = setting(
        "DATABASE_DISPATCHER_URL", None, "DSN of the role that claims jobs", secret=True
    )
    database_read_url: str | None = setting(
        "DATABASE_READ_URL", None, "DSN of a replica for reads that tolerate lag", secret=True
    )
    redis_url: str | None = setting(
        "REDIS_URL", None, "Redis DSN; unset keeps shared state in the process", secret=True
    )
    trusted_proxies: tuple[str, ...] = setting(
        "TRUSTED_PROXIES",
        (),
        "networks (CIDR) of proxies whose X-Forwarded-For names the client",
        form=network,
    )
    blob_dir: str | None = setting(
        "BLOB_DIR", None, "folder shared by all processes for uploads and audio; unset keeps them in Postgres"
    )
    pool_size: int = setting("API_DB_POOL_SIZE", 20, "database connections per process", ge=1, le=1000)
    pool_overflow: int = setting(
        "API_DB_MAX_OVERFLOW", 10, "further database connections under load", ge=0, le=1000
    )
    statement_timeout_ms: int = setting(
        "API_DB_STATEMENT_TIMEOUT_MS", 15000, "longest statement, in milliseconds", ge=10
    )
    max_request_bytes: int = setting(
        "MAX_REQUEST_BYTES", 1_048_576, "largest request body unless the route says otherwise", ge=1
    )
    body_memory_bytes: int = setting(
        "REQUEST_BODY_MEMORY_BYTES",
        268_435_456,
        "memory for request bodies in a process, in bytes; a tenant gets half of it at most",
        ge=1_048_576,
    )
    request_timeout_s: float = setting(
        "REQUEST_TIMEOUT_SECONDS", 15.0, "deadline of a request that is not a stream", ge=0.01
    )
    head_timeout_s: float = setting(
        "HTTP_HEAD_TIMEOUT_SECONDS", 10.0, "time for the head of a request to arrive", ge=0.01
    )
    body_timeout_s: float = setting(
        "HTTP_BODY_TIMEOUT_SECONDS", 30.0, "time for the body of a request to arrive", ge=0.01
    )
    keepalive_timeout_s: float = setting(
        "HTTP_KEEPALIVE_SECONDS", 30.0, "how long a connection may wait for its next request", ge=0.01
    )
    max_connections: int | None = setting(
        "MAX_CONNECTIONS",
        None,
        "most open connections; unset: 10000, or what the limit of descriptors leaves room for",
        ge=1,
    )
    max_connections_per_address: int | None = setting(
        "MAX_CONNECTIONS_PER_ADDRESS",
        None,
        "most open connections from one address, trusted proxies excepted; unset: half of all",
        ge=1,
    )
    stream_timeout_s: float = setting(
        "STREAM_TIMEOUT_SECONDS", 600.0, "longest life of an event stream", ge=1
    )
    provider_open_timeout_s: float = setting(
        "PROVIDER_OPEN_TIMEOUT_SECONDS", 30.0, "how long a provider may take to open at its first use", ge=0.1
    )
    drain_timeout_s: float = setting(
        "DRAIN_TIMEOUT_SECONDS", 25.0, "how long SIGTERM waits for requests and streams", ge=0
    )
    cors_allow_origins: tuple[str, ...] = setting(
        "CORS_ALLOW_ORIGINS",
        (),
        "origins that browsers may call from; empty denies all",
        form=header_value,
    )
    legacy_aliases: str = setting(
        "LEGACY_ALIASES", "keep", "unversioned paths: serve them or answer 410", choices=("keep", "gone")
    )
    legacy_sunset: str = setting(
        "LEGACY_SUNSET",
        "Sun, 10 May 2026 00:00:00 +0000",
        "Sunset header of the legacy aliases",
        form=header_value,
    )
    metrics_token: str | None = setting(
        "METRICS_TOKEN",
        None,
        "bearer token for /v1/metrics; unset leaves it open",
        secret=True,
        form=header_value,
    )
    otlp_endpoint: str | None = setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        None,
        "OTLP over HTTP endpoint; unset turns tracing off",
        form=http_url,
    )
    egress_allow_private: tuple[str, ...] = setting(
        "EGRESS_ALLOW_PRIVATE",
        (),
        "private networks (CIDR) that outbound calls may reach",
        form=network,
    )
    serve_worker: bool | None = setting(
        "SERVE_WORKER",
        None,
        "run jobs inside serve; unset: everywhere but in the production profile",
    )

    @property
    def production(self) -> bool:
        return self.profile == "production"

    @property
    def works_in_serve(self) -> bool:
        return not self.production if self.serve_worker is None else self.serve_worker


class ConfigErrors(ConfigError):
    """Everything that is wrong at once, one line each."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        first = errors[0]
        super().__init__(first.where, first.message, first.fix)
        self.errors = tuple(errors)

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


def raise_all(errors: Sequence[ConfigError]) -> None:
    """Raise ``errors`` as one, if there is any."""
    if errors:
        raise errors[0] if len(errors) == 1 else ConfigErrors(errors)


class Settings:
    """All settings objects of one process, with where each value came from. ``classes`` has theirs, by section."""

    def __init__(self, layers: SettingsLayers, classes: Mapping[str, type]) -> None:
        self._layers = layers
        self.classes = classes

    def faults(self) -> list[ConfigError]:
        """All that is wrong with files, keys and values, each with its place."""
        found = [*self._layers.faults, *self._two_owners(), *self._unknown_keys()]
        for name in self.classes:
            found += self._read(name)[1]
        return found

    def check(self) -> None:
        """Raise all faults as one ``ConfigError``."""
        raise_all(self.faults())

    def section(self, name: str) -> Any:
        """The checked settings object of ``name``. Raises ``ConfigError`` with all that is wrong in it."""
        config, faults = self._read(name)
        raise_all(faults)
        return config

    def lenient(self, name: str) -> Any:
        """The settings object of ``name`` with defaults in place of what is wrong."""
        return self._read(name)[0]

    def _read(self, name: str) -> tuple[Any, list[ConfigError]]:
        config = self.classes[name]
        hints = typing.get_type_hints(config)
        values: dict[str, object] = {}
        faults: list[ConfigError] = []
        for field, info in settings_of(config).items():
            try:
                found = self._found(name, field, info.env)
                if found is not None:
                    value = convert(found[0], hints[field], info.env, secret=info.secret)
                    # Alone, so that each wrong value is told and not the first of them.
                    _check_field(config, field, value)
                    values[field] = value
            except ConfigError as error:
                faults.append(self.placed(error, name))
        try:
            return config(**values), faults
        except ConfigError as error:
            return config(), [*faults, self.placed(error, name)]

    def placed(self, error: ConfigError, section: str) -> ConfigError:
        """``error`` with file and line in place of the bare name of a setting of ``section``."""
        if section not in self.classes:
            return error
        for field, info in settings_of(self.classes[section]).items():
            if error.where == info.env:
                try:
                    place = self._layers.place(section, field, info.env)
                except ConfigError:
                    return error
                return ConfigError(place, error.message, error.fix)
        return error

    def place(self, section: str, field: str) -> str:
        """Where the value of a setting was written: file and line, or its name in the environment."""
        env = settings_of(self.classes[section])[field].env
        return self._layers.place(section, field, env)

    def layer(self, section: str, field: str) -> Layer:
        """The layer that sets a value; ``default`` when none does."""
        found = self._found(section, field, settings_of(self.classes[section])[field].env)
        return found[1] if found else "default"

    def _found(self, section: str, field: str, env: str) -> tuple[Any, Layer] | None:
        """The raw value of one setting; of a pattern, a table of what its variables say over the file's."""
        found = self._layers.lookup(section, field, env)
        if "<" not in env:
            return found
        named = self._layers.matching(env)
        if not named:
            return found
        table: dict[str, object] = dict(found[0]) if found else {}
        layer = next(reversed(named.values()))[1]
        return {**table, **{key: value for key, (value, _) in named.items()}}, layer

    def missing_in_production(self, name: str) -> list[str]:
        """Environment names that the production profile demands of ``name`` and no layer sets."""
        return [
            info.env
            for field, info in settings_of(self.classes[name]).items()
            if info.required_in_production and self._layers.lookup(name, field, info.env) is None
        ]

    def secret_values(self) -> list[str]:
        """What the settings that are secret hold, and the passwords of the addresses among them."""
        held = [
            getattr(self.lenient(name), field)
            for name, config in self.classes.items()
            for field, info in settings_of(config).items()
            if info.secret
        ]
        found = [value for value in held if isinstance(value, str)]
        return found + [password for value in found if (password := _password(value))]

    def _two_owners(self) -> Iterator[ConfigError]:
        owners: dict[str, str] = {}
        for name, config in self.classes.items():
            for info in settings_of(config).values():
                other = owners.setdefault(info.env, name)
                if other != name:
                    yield ConfigError(
                        info.env, f"declared by both {other} and {name}", "disable one of the two plugins"
                    )

    def _unknown_keys(self) -> Iterator[ConfigError]:
        toml = self._layers.toml
        for section, table in toml.values.items():
            if section not in self.classes:
                where = f"{toml.at(section)} [{section}]"
                yield ConfigError(
                    where, "no installed plugin has this section", nearest(section, list(self.classes))
                )
                continue
            known = list(settings_of(self.classes[section]))
            for key in table:
                if key not in known:
                    where = f"{toml.at(f'{section}.{key}')} [{section}] {key}"
                    yield ConfigError(where, "unknown key", nearest(key, known))


def _password(url: str) -> str | None:
    try:
        return unquote(urlsplit(url).password or "") or None
    except ValueError:
        return None


def _check_field(config: type, field: str, value: object) -> None:
    attribute = getattr(attrs.fields(config), field)
    if attribute.validator is not None:
        attribute.validator(None, attribute, value)


def convert(raw: Any, wanted: Any, where: str, *, secret: bool = False) -> object:
    """``raw`` (text, or a TOML value) as the annotated type ``wanted``. Errors don't repeat a ``secret`` value."""
    options = typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,)
    target = next(option for option in options if option is not types.NoneType)
    try:
        return _convert(raw, target)
    except (TypeError, ValueError, OverflowError):
        name = getattr(target, "__name__", str(target))
        raise ConfigError(
            where, f"{'its value' if secret else repr(raw)} is not a valid {name}", f"give a {name}"
        ) from None


def _convert(raw: Any, target: Any) -> object:
    if typing.get_origin(target) in (dict, abc.Mapping):
        inner = typing.get_args(target)[1]
        return {str(key): _convert(value, inner) for key, value in dict(raw).items()}
    if typing.get_origin(target) is tuple:
        parts = raw.split(",") if isinstance(raw, str) else raw
        return tuple(str(part).strip() for part in parts if str(part).strip())
    if target is bool:
        if isinstance(raw, bool):
            return raw
        word = str(raw).strip().lower()
        if word in {"1", "true", "yes", "on"}:
            return True
        if word in {"0", "false", "no", "off"}:
            return False
        raise ValueError(raw)
    if target in (int, float):
        if isinstance(raw, bool) or (target is int and isinstance(raw, float)):
            raise ValueError(raw)
        number = target(raw)
        if number != number or number in (float("inf"), float("-inf")):
            raise ValueError(raw)
        return number
    if (target is str or typing.get_origin(target) is Literal) and isinstance(raw, str):
        return raw
    raise TypeError(raw)
