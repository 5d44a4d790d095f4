"""How a plugin declares its settings: an attrs class whose fields name their environment variable.

Layers, weakest first: ``ragwork.toml``, ``.env``, environment, secret files. The kernel reads and
checks them; a plugin only receives the finished, frozen object.
"""

from collections.abc import Callable, Mapping
from ipaddress import ip_network
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import attrs

from ragwork_hooks.errors import ConfigError
from ragwork_hooks.provider_kinds import ProviderKind

SETTING: Final = "ragwork.setting"
#: Judges a text: ``None``, or what is wrong with it and what to do.
Form: TypeAlias = Callable[[str], tuple[str, str] | None]


@attrs.frozen(kw_only=True)
class SettingInfo:
    """What the kernel knows of one field. ``env`` may hold one pattern part such as ``<PROVIDER>``.

    ``binds`` is the kind of provider (``LLM``) that the value names, a list of names, or ``none``.
    """

    env: str
    help: str
    secret: bool = False
    required_in_production: bool = False
    binds: ProviderKind[Any] | None = None


def setting(
    env: str,
    default: Any,
    help: str,
    *,
    secret: bool = False,
    required_in_production: bool = False,
    ge: float | None = None,
    le: float | None = None,
    choices: tuple[str, ...] = (),
    form: Form | None = None,
    binds: ProviderKind[Any] | None = None,
) -> Any:
    """Declare one field of a settings class.

    ``default`` is the value when no layer sets it (``None`` for unset). ``secret`` values are masked
    in every output. ``ge``/``le`` bound numbers, ``choices`` bounds strings, ``form`` judges a string or
    each of a list (``header_value``, ``http_url``, ``network``); a violation stops the boot with a ``ConfigError``.
    A value that ``binds`` names providers of that kind: one that nobody offers, or that can't work with the
    settings as they are, stops the boot, too. ``none`` binds nothing where it is the default.
    """
    info = SettingInfo(
        env=env, help=help, secret=secret, required_in_production=required_in_production, binds=binds
    )
    return attrs.field(
        default=default,
        kw_only=True,
        repr=not secret,
        metadata={SETTING: info},
        validator=_bounds(ge, le, choices, form),
    )


def env_name(config: object, field: str) -> str:
    """What the setting ``field`` of the settings object ``config`` is called in the environment."""
    return settings_of(type(config))[field].env


def settings_of(config: type) -> Mapping[str, SettingInfo]:
    """Field name → declaration, for every field of the settings class ``config``."""
    found = {f.name: f.metadata.get(SETTING) for f in attrs.fields(config)}
    missing = [name for name, info in found.items() if info is None]
    if missing:
        raise TypeError(f"{config.__qualname__}: fields without setting(): {missing}")
    return {name: info for name, info in found.items() if info is not None}


def _bounds(
    ge: float | None, le: float | None, choices: tuple[str, ...], form: Form | None
) -> Callable[[object, Any, Any], None]:
    def check(_instance: object, attribute: Any, value: Any) -> None:
        if value is None:
            return
        env = attribute.metadata[SETTING].env
        if ge is not None and not value >= ge:
            raise ConfigError(env, f"{value!r} is below {ge}", f"set it to {ge} or more")
        if le is not None and not value <= le:
            raise ConfigError(env, f"{value!r} is above {le}", f"set it to {le} or less")
        if choices and value not in choices:
            raise ConfigError(env, f"{value!r} is not known", f"choose one of {', '.join(choices)}")
        if form is not None:
            for text in (value,) if isinstance(value, str) else value:
                wrong = form(text)
                if wrong is not None:
                    raise ConfigError(env, *wrong)

    return check


def header_value(text: str) -> tuple[str, str] | None:
    """For what becomes an HTTP header. Says which character is in the way, never the value: it may be a key."""
    for position, character in enumerate(text):
        if not " " <= character <= "~":
            return (
                f"can't be an HTTP header: character {position + 1} of {len(text)} is {character!a}",
                "give it again without that character; keys are often copied with the line's end",
            )
    return None


def header_name(text: str) -> tuple[str, str] | None:
    """For what names an HTTP header."""
    if not text.replace("-", "").replace("_", "").isalnum() or not text.isascii():
        return f"{text!r} can't be the name of an HTTP header", "use letters, digits and dashes"
    return None


def http_url(text: str) -> tuple[str, str] | None:
    """For addresses of services: absolute, over HTTP, without credentials."""
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound or "@" in parts.netloc or not text.isprintable() or " " in text:
        return "is not the address of an HTTP service", "write it like https://service.example.com/path"
    return None


def network(text: str) -> tuple[str, str] | None:
    """For networks in CIDR notation, and single addresses."""
    try:
        ip_network(text)
    except ValueError:
        try:
            meant = str(ip_network(text, strict=False))
        except ValueError:
            meant = "10.0.0.0/8"
        return f"{text!r} is not a network", f"write it like {meant}"
    return None
