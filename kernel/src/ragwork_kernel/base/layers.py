"""The raw values of every layer, read once: ``ragwork.toml`` < ``.env`` < environment < secret files.

Each value knows its layer and its place (file and line, or variable), so that whatever is wrong with it can
be shown where it was written.
"""

import difflib
import io
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
from dotenv import dotenv_values
from dotenv.parser import parse_stream
from ragwork_hooks.errors import ConfigError

SECRETS_DIR = Path("/run/secrets")
CONFIG_FILE = "ragwork.toml"
DOTENV_FILE = ".env"
Layer = Literal["default", "ragwork.toml", ".env", "environment", "secret file"]
_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?$")


@attrs.frozen(kw_only=True)
class Text:
    """A settings file: its values, the line of each name, and what is wrong with it."""

    path: Path
    exists: bool = False
    values: Mapping[str, Any] = attrs.field(factory=dict)
    lines: Mapping[str, int] = attrs.field(factory=dict)
    faults: tuple[ConfigError, ...] = ()

    def at(self, name: str) -> str:
        """``path:line``, without the line when the name is not found in the text."""
        line = self.lines.get(name)
        return str(self.path) if line is None else f"{self.path}:{line}"


class SettingsLayers:
    """Looks values up, the strongest layer first. Text is trimmed: no setting begins or ends with a space."""

    def __init__(self, toml: Text, dotenv: Text, environ: Mapping[str, str], secrets_dir: Path) -> None:
        self.toml = toml
        self.dotenv = dotenv
        self.environ = environ
        self.secrets_dir = secrets_dir

    @classmethod
    def read(cls, folder: Path, environ: Mapping[str, str] | None = None) -> "SettingsLayers":
        """From ``folder``'s ``ragwork.toml`` and ``.env`` and the process environment. Never raises: what
        can't be read stands in ``faults``.
        """
        env = dict(os.environ if environ is None else environ)
        return cls(_read_toml(folder / CONFIG_FILE), _read_dotenv(folder / DOTENV_FILE), env, SECRETS_DIR)

    @property
    def faults(self) -> tuple[ConfigError, ...]:
        """Files that can't be read as what they should be."""
        return (*self.toml.faults, *self.dotenv.faults)

    def narrowed(self, section: str) -> "SettingsLayers":
        """The same layers with only one section of ``ragwork.toml``."""
        return self.over({name: table for name, table in self.toml.values.items() if name == section})

    def over(self, sections: Mapping[str, Any]) -> "SettingsLayers":
        """The same layers with these sections of ``ragwork.toml``."""
        toml = attrs.evolve(self.toml, values=sections)
        return SettingsLayers(toml, self.dotenv, self.environ, self.secrets_dir)

    def lookup(self, section: str, field: str, env: str) -> tuple[Any, Layer] | None:
        """The strongest layer's raw value, ``None`` when no layer has it."""
        secret = self._secret_file(env)
        if secret is not None:
            return secret, "secret file"
        # An empty variable is an unset one: compose files and shells pass "" for what is not there.
        if value := self.environ.get(env, "").strip():
            return value, "environment"
        if value := self.dotenv.values.get(env, "").strip():
            return value, ".env"
        table = self.toml.values.get(section, {})
        if field in table:
            value = table[field]
            return value.strip() if isinstance(value, str) else value, "ragwork.toml"
        return None

    def place(self, section: str, field: str, env: str) -> str:
        """Where the value of a setting was written; its name alone while no layer has it."""
        found = self.lookup(section, field, env)
        match found[1] if found else "default":
            case ".env":
                return f"{self.dotenv.at(env)} {env}"
            case "ragwork.toml":
                return f"{self.toml.at(f'{section}.{field}')} [{section}] {field}"
            case "secret file":
                return f"{env} ({self._secret_path(env)[0]})"
        return env

    def matching(self, env: str) -> dict[str, tuple[str, Layer]]:
        """Values of a pattern such as ``TIMEOUT_<NAME>_SECONDS``, by the lower-case text in its place."""
        head, _, rest = env.partition("<")
        tail = rest.partition(">")[2]
        found: dict[str, tuple[str, Layer]] = {}
        layers: tuple[tuple[Mapping[str, str], Layer], ...] = (
            (self.dotenv.values, ".env"),
            (self.environ, "environment"),
        )
        for values, layer in layers:
            for name, value in values.items():
                middle = name[len(head) : len(name) - len(tail)]
                if value.strip() and middle and name == f"{head}{middle}{tail}":
                    found[middle.lower()] = (value.strip(), layer)
        return found

    def _secret_path(self, env: str) -> tuple[Path, str | None]:
        """The file that may hold ``env``, and the value of ``<env>_FILE`` when that is what names it."""
        named = self.environ.get(f"{env}_FILE") or self.dotenv.values.get(f"{env}_FILE")
        return (Path(named) if named else self.secrets_dir / env.lower()), named

    def _secret_file(self, env: str) -> str | None:
        path, named = self._secret_path(env)
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


def nearest(wrong: str, known: Sequence[str]) -> str:
    """Advice naming the closest known word, or all of them."""
    close = difflib.get_close_matches(wrong, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known are: {', '.join(sorted(known)) or 'none'}"


def _read_toml(path: Path) -> Text:
    text, fault = _text_of(path)
    if text is None:
        return Text(path=path, exists=fault is not None, faults=(fault,) if fault else ())
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        wrong = ConfigError(str(path), f"not valid TOML: {error}", "correct that line")
        return Text(path=path, exists=True, faults=(wrong,))
    lines = _toml_lines(text)
    outside = tuple(
        ConfigError(
            f"{path}:{lines.get(f'.{key}', 1)} {key}",
            "stands outside a section",
            "move it under [kernel] or its plugin",
        )
        for key, value in document.items()
        if not isinstance(value, dict)
    )
    tables = {key: value for key, value in document.items() if isinstance(value, dict)}
    return Text(path=path, exists=True, values=tables, lines=lines, faults=outside)


def _toml_lines(text: str) -> Mapping[str, int]:
    """``section`` and ``section.key`` → line. The parser of the standard library keeps no positions."""
    lines: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            section = header[1].strip("\"'")
            lines.setdefault(section, number)
        elif "=" in line and not line.lstrip().startswith("#"):
            parts = [part.strip().strip("\"'") for part in line.partition("=")[0].split(".")]
            if section or len(parts) == 1:
                parts.insert(0, section)
            # Of `a.b.c = 1` the line is that of `a.b`, too.
            for end in range(2, len(parts) + 1):
                lines.setdefault(".".join(parts[:end]), number)
    return lines


def _read_dotenv(path: Path) -> Text:
    text, fault = _text_of(path)
    if text is None:
        return Text(path=path, exists=fault is not None, faults=(fault,) if fault else ())
    lines: dict[str, int] = {}
    faults: list[ConfigError] = []
    for binding in parse_stream(io.StringIO(text)):
        first = binding.original.line + _leading_lines(binding.original.string)
        if binding.error:
            faults.append(ConfigError(f"{path}:{first}", "is not NAME=value", "correct or remove the line"))
        elif binding.key is not None:
            lines[binding.key] = first
    # Its own complaints would come before ours, without the place.
    sound = "".join(b.original.string for b in parse_stream(io.StringIO(text)) if not b.error)
    values = {name: value for name, value in dotenv_values(stream=io.StringIO(sound)).items() if value}
    return Text(path=path, exists=True, values=values, lines=lines, faults=tuple(faults))


def _leading_lines(text: str) -> int:
    """Blank lines before a binding belong to its text."""
    return text[: len(text) - len(text.lstrip())].count("\n")


def _text_of(path: Path) -> tuple[str | None, ConfigError | None]:
    try:
        return path.read_text(encoding="utf-8"), None
    except FileNotFoundError:
        return None, None
    except UnicodeDecodeError:
        return None, ConfigError(str(path), "is not UTF-8 text", "save it as UTF-8")
    except OSError as error:
        return None, ConfigError(str(path), str(error.strerror), "make it readable")
