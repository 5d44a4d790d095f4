"""Settings in layers: ``ragwork.toml`` < ``.env`` < environment < secret files; each value knows its layer.

Every field of every settings class names its environment variable; two owners of one name, an unknown
key and a value of the wrong type stop the boot with the place and the fix.
"""

import difflib
import os
import tomllib
import types
import typing
from collections import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
from dotenv import dotenv_values
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.settings import setting, settings_of

SECRETS_DIR = Path("/run/secrets")
CONFIG_FILE = "ragwork.toml"
Layer = Literal["default", "ragwork.toml", ".env", "environment", "secret file"]


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
        "TRUSTED_PROXIES", (), "networks (CIDR) of proxies whose X-Forwarded-For names the client"
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
    request_timeout_s: float = setting(
        "REQUEST_TIMEOUT_SECONDS", 15.0, "deadline of a request that is not a stream", ge=0.01
    )
    stream_timeout_s: float = setting(
        "STREAM_TIMEOUT_SECONDS", 600.0, "longest life of an event stream", ge=1
    )
    drain_timeout_s: float = setting(
        "DRAIN_TIMEOUT_SECONDS", 25.0, "how long SIGTERM waits for requests and streams", ge=0
    )
    cors_allow_origins: tuple[str, ...] = setting(
        "CORS_ALLOW_ORIGINS", (), "origins that browsers may call from; empty denies all"
    )
    legacy_aliases: str = setting(
        "LEGACY_ALIASES", "keep", "unversioned paths: serve them or answer 410", choices=("keep", "gone")
    )
    legacy_sunset: str = setting(
        "LEGACY_SUNSET", "Sun, 10 May 2026 00:00:00 +0000", "Sunset header of the legacy aliases"
    )
    metrics_token: str | None = setting(
        "METRICS_TOKEN", None, "bearer token for /v1/metrics; unset leaves it open", secret=True
    )
    otlp_endpoint: str | None = setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT", None, "OTLP over HTTP endpoint; unset turns tracing off"
    )
    egress_allow_private: tuple[str, ...] = setting(
        "EGRESS_ALLOW_PRIVATE", (), "private networks (CIDR) that outbound calls may reach"
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


@attrs.frozen(kw_only=True)
class Explained:
    """One setting, for ``config explain``. ``value`` is masked when secret."""

    env: str
    section: str
    field: str
    value: str
    layer: Layer
    help: str


class Layers:
    """The raw values of every layer, read once."""

    def __init__(
        self,
        toml: Mapping[str, Mapping[str, object]],
        dotenv: Mapping[str, str],
        environ: Mapping[str, str],
        secrets_dir: Path,
    ) -> None:
        self.toml = toml
        self._dotenv = dotenv
        self._environ = environ
        self._secrets_dir = secrets_dir

    @classmethod
    def read(cls, folder: Path, environ: Mapping[str, str] | None = None) -> "Layers":
        """From ``folder``'s ``ragwork.toml`` and ``.env`` and the process environment."""
        env = dict(os.environ if environ is None else environ)
        dotenv = {k: v for k, v in dotenv_values(folder / ".env").items() if v is not None}
        return cls(_read_toml(folder / CONFIG_FILE), dotenv, env, SECRETS_DIR)

    def narrowed(self, section: str) -> "Layers":
        """The same layers with only one section of ``ragwork.toml``."""
        toml = {section: self.toml[section]} if section in self.toml else {}
        return Layers(toml, self._dotenv, self._environ, self._secrets_dir)

    def lookup(self, section: str, field: str, env: str) -> tuple[Any, Layer] | None:
        """The strongest layer's raw value, ``None`` when no layer has it."""
        secret = self._secret_file(env)
        if secret is not None:
            return secret, "secret file"
        # An empty variable is an unset one: compose files and shells pass "" for what is not there.
        if self._environ.get(env):
            return self._environ[env], "environment"
        if self._dotenv.get(env):
            return self._dotenv[env], ".env"
        table = self.toml.get(section, {})
        if field in table:
            return table[field], "ragwork.toml"
        return None

    def matching(self, env: str) -> dict[str, tuple[str, Layer]]:
        """Values of a pattern such as ``TIMEOUT_<NAME>_SECONDS``, by the lower-case text in its place."""
        head, _, rest = env.partition("<")
        tail = rest.partition(">")[2]
        found: dict[str, tuple[str, Layer]] = {}
        layers: tuple[tuple[Mapping[str, str], Layer], ...] = (
            (self._dotenv, ".env"),
            (self._environ, "environment"),
        )
        for values, layer in layers:
            for name, value in values.items():
                middle = name[len(head) : len(name) - len(tail)]
                if value and middle and name == f"{head}{middle}{tail}":
                    found[middle.lower()] = (value, layer)
        return found

    def _secret_file(self, env: str) -> str | None:
        named = self._environ.get(f"{env}_FILE") or self._dotenv.get(f"{env}_FILE")
        path = Path(named) if named else self._secrets_dir / env.lower()
        try:
            return path.read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            if named:
                raise ConfigError(
                    f"{env}_FILE", f"{named} does not exist", "create the file or unset the variable"
                ) from None
            return None
        except OSError as error:
            raise ConfigError(env, f"{path}: {error.strerror}", "make it readable") from None
        except UnicodeDecodeError:
            raise ConfigError(env, f"{path} is not UTF-8 text", "write the secret as text") from None


class Configuration:
    """All settings objects of one process, with where each value came from."""

    def __init__(self, layers: Layers, classes: Mapping[str, type]) -> None:
        self._layers = layers
        self._classes = classes
        self._refuse_two_owners()
        self._refuse_unknown_keys()

    def section(self, name: str) -> Any:
        """The checked settings object of ``name``."""
        config = self._classes[name]
        hints = typing.get_type_hints(config)
        values: dict[str, object] = {}
        for field, info in settings_of(config).items():
            found = self._found(name, field, info.env)
            if found is not None:
                values[field] = convert(found[0], hints[field], info.env)
        return config(**values)

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
            for field, info in settings_of(self._classes[name]).items()
            if info.required_in_production and self._layers.lookup(name, field, info.env) is None
        ]

    def explain(self) -> list[Explained]:
        """Every setting with its value and layer."""
        return [row for name in self._classes for row in self._explain_section(name)]

    def _explain_section(self, name: str) -> list[Explained]:
        config = self._classes[name]
        values = self.section(name)
        rows = []
        for field, info in settings_of(config).items():
            found = self._found(name, field, info.env)
            value = getattr(values, field)
            shown = "********" if info.secret and value is not None else repr(value)
            rows.append(
                Explained(
                    env=info.env,
                    section=name,
                    field=field,
                    value=shown,
                    layer=found[1] if found else "default",
                    help=info.help,
                )
            )
        return rows

    def _refuse_two_owners(self) -> None:
        owners: dict[str, str] = {}
        for name, config in self._classes.items():
            for info in settings_of(config).values():
                if info.env in owners:
                    raise ConfigError(
                        info.env,
                        f"declared by both {owners[info.env]} and {name}",
                        "disable one of the two plugins",
                    )
                owners[info.env] = name

    def _refuse_unknown_keys(self) -> None:
        for section, table in self._layers.toml.items():
            if section not in self._classes:
                raise ConfigError(
                    f"{CONFIG_FILE} [{section}]",
                    "no installed plugin has this section",
                    nearest(section, list(self._classes)),
                )
            known = list(settings_of(self._classes[section]))
            for key in table:
                if key not in known:
                    raise ConfigError(f"{CONFIG_FILE} [{section}] {key}", "unknown key", nearest(key, known))


def nearest(wrong: str, known: Sequence[str]) -> str:
    """Advice naming the closest known word, or all of them."""
    close = difflib.get_close_matches(wrong, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known are: {', '.join(sorted(known)) or 'none'}"


def convert(raw: Any, wanted: Any, where: str) -> object:
    """``raw`` (text, or a TOML value) as the annotated type ``wanted``."""
    options = typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,)
    target = next(option for option in options if option is not types.NoneType)
    try:
        return _convert(raw, target)
    except (TypeError, ValueError, OverflowError):
        name = getattr(target, "__name__", str(target))
        raise ConfigError(where, f"{raw!r} is not a valid {name}", f"give a {name}") from None


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


def _read_toml(path: Path) -> Mapping[str, Mapping[str, object]]:
    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"not valid TOML: {error}", "correct that line") from None
    except OSError as error:
        raise ConfigError(str(path), str(error.strerror), "make it readable") from None
    for key, value in document.items():
        if not isinstance(value, dict):
            raise ConfigError(
                f"{path} {key}", "stands outside a section", "move it under [kernel] or its plugin"
            )
    return document
