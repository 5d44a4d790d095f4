"""Write the generated pages of docs/reference, and the index of plugins, from the code that they describe.

``python tools/make_reference.py`` writes them; ``--check`` writes nothing and ends with 1, naming the
pages that no longer say what the code does.
"""

import argparse
import ast
import asyncio
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import click
import ragwork_hooks
import ragwork_toolkit
from plugin_index import plugin_index
from ragwork_apidocs.openapi import document_of
from ragwork_cli.command_line import command_line
from ragwork_hooks.errors import DEFAULT_CODES, STATUS_OF
from ragwork_hooks.settings import settings_of
from ragwork_kernel.base.config import KernelConfig
from ragwork_kernel.boot import plugin_set as assemblies
from ragwork_kernel.boot.boot import boot
from ragwork_kernel.boot.plugin_set import PluginSet

ROOT = Path(__file__).parents[1]
HEAD = "<!-- Made by tools/make_reference.py. Edit the code, then run it again. -->\n\n"


def main() -> int:
    """Exit status: 0 when every page is current or was written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say which pages are stale")
    check: bool = parser.parse_args().check
    stale = []
    for name, text in pages().items():
        path = ROOT / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"{'stale' if check else 'wrote'} {name}")
    return 1 if check and stale else 0


def pages() -> Mapping[str, str]:
    """Path → text of every generated page, for the default assembly without any setting."""
    with tempfile.TemporaryDirectory() as folder:
        assembly = assemblies.read(Path(folder), {})
        document = asyncio.run(_openapi(assembly, Path(folder) / "data"))
    made = {
        "docs/reference/configuration.md": configuration(assembly),
        "docs/reference/hooks.md": hooks(),
        "docs/reference/toolkit.md": toolkit(),
        "docs/reference/commands.md": commands(),
        "docs/reference/errors.md": errors(document),
        "docs/reference/http.md": http(document),
        "plugins/README.md": plugin_index(),
    }
    return {name: HEAD + re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n" for name, text in made.items()}


async def _openapi(assembly: PluginSet, data_dir: Path) -> dict[str, Any]:
    async with boot(assembly, data_dir) as platform:
        return document_of(platform.facades["apidocs"])


# --- configuration --------------------------------------------------------------------------------


def configuration(assembly: PluginSet) -> str:
    """Every setting by the section of ``ragwork.toml`` that holds it, and the key material of plugins."""
    text = """# Settings

Each setting has a name in the environment and a field in a section of `ragwork.toml`. The layers, weakest
first: default, `ragwork.toml`, `.env`, environment, secret file (`/run/secrets/<name in lower case>`, or the
file that `<NAME>_FILE` names). An empty value counts as unset. How to use the layers:
[configure and explain](../how-to/configure-and-explain.md). Secret values are masked in every output.
"""
    sections: list[tuple[str, type]] = [("kernel", KernelConfig)]
    for plugin in assembly.plugins:
        both = ((plugin.name, plugin.info.config), (f"{plugin.name}.NAME", plugin.info.named_config))
        sections += [(section, config) for section, config in both if config is not None]
    for section, config in sections:
        text += f"\n## `[{section}]`\n\n{_settings_table(config)}"
    text += (
        "\n## Key material\n\nAt least 32 random bytes each. Outside production an unset one is made once and"
    )
    text += " shared by all processes of the database; the production profile refuses to start without.\n\n"
    rows = [(f"`{name}`", p.name) for p in assembly.plugins for name in p.info.secrets]
    return text + _table(("environment", "plugin"), rows)


def _settings_table(config: type) -> str:
    fields = {field.name: field for field in attrs.fields(config)}
    rows = []
    for name, info in settings_of(config).items():
        default = fields[name].default
        shown = "" if default is None else f"`{_plain(default)}`"
        notes = [info.help]
        notes += ["secret"] if info.secret else []
        notes += ["required in production"] if info.required_in_production else []
        rows.append((f"`{info.env}`", f"`{name}`", shown, "; ".join(notes)))
    return _table(("environment", "field", "default", "meaning"), rows)


def _plain(default: object) -> str:
    """A default as an operator would write it."""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return ",".join(str(part) for part in default) or "(empty)"
    return str(default)


# --- hooks ----------------------------------------------------------------------------------------


def hooks() -> str:
    """Every public name of ``ragwork_hooks`` with its exact signature and docstring."""
    text = """# Hooks

What a plugin author imports: every public name of `ragwork_hooks`, by module, with the signatures as they stand
in the source. Which seam to use for what: [seams](../explanation/seams.md). A whole example:
[write a provider](../tutorial-write-a-provider.md).
"""
    return text + "".join(_modules(ragwork_hooks.__name__, Path(ragwork_hooks.__file__).parent))


def toolkit() -> str:
    """The same of ``ragwork_toolkit``."""
    text = """# Toolkit

What plugins share beside the types of [hooks](hooks.md): every public name of `ragwork_toolkit`, by module. A plugin
may import it; it is versioned like hooks, and needs nothing else of Ragwork.
"""
    return text + "".join(_modules(ragwork_toolkit.__name__, Path(ragwork_toolkit.__file__).parent))


def _modules(package: str, folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("[!_]*.py")):
        source = path.read_text(encoding="utf-8")
        module, lines = ast.parse(source), source.splitlines()
        name = ".".join((package, *path.relative_to(folder).with_suffix("").parts))
        yield f"\n## `{name}`\n\n{ast.get_docstring(module) or ''}\n"
        yield from (_documented(node, lines) for node in module.body)


def _documented(node: ast.stmt, lines: Sequence[str]) -> str:
    if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
        return (
            f"\n### `{node.name}`\n\n{ast.get_docstring(node) or ''}\n\n```python\n{_class(node, lines)}```\n"
        )
    if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
        doc = ast.get_docstring(node) or ""
        return f"\n### `{node.name}`\n\n{doc}\n\n```python\n{_signature(node)}\n```\n"
    names = [name for name in _assigned(node) if not name.startswith("_") and name != "__all__"]
    if names:
        return f"\n### `{names[0]}`\n\n```python\n{ast.unparse(node)}\n```\n"
    return ""


def _class(node: ast.ClassDef, lines: Sequence[str]) -> str:
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    head = [f"@{ast.unparse(decorator)}" for decorator in node.decorator_list]
    head.append(f"class {node.name}({bases}):" if bases else f"class {node.name}:")
    body = [line for member in node.body for line in (*_remark(member, lines), *_member(member))]
    return "\n".join([*head, *(f"    {line}" if line else "" for line in body or ["..."])]) + "\n"


def _remark(node: ast.stmt, lines: Sequence[str]) -> Sequence[str]:
    """The comment above a field that says what it holds."""
    first = node.lineno - 1
    while first and lines[first - 1].lstrip().startswith("#:"):
        first -= 1
    return [line.strip() for line in lines[first : node.lineno - 1]]


def _member(node: ast.stmt) -> Iterator[str]:
    """The lines of a field or a method, without bodies; docstrings of methods stand as comments."""
    if isinstance(node, ast.AnnAssign | ast.Assign):
        yield ast.unparse(node)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _public(node.name):
        yield ""
        yield from (f"@{ast.unparse(decorator)}" for decorator in node.decorator_list)
        yield _signature(node)
        for line in (ast.get_docstring(node) or "").splitlines():
            yield f"    # {line}".rstrip()


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    word = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{word} {node.name}({ast.unparse(node.args)}){returns}: ..."


def _assigned(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    if isinstance(node, ast.Assign):
        flat = [t for target in node.targets for t in getattr(target, "elts", [target])]
        return [target.id for target in flat if isinstance(target, ast.Name)]
    return []


def _public(name: str) -> bool:
    return not name.startswith("_") or name == "__init__"


# --- commands -------------------------------------------------------------------------------------


def commands() -> str:
    """Every command of the default assembly with its options."""
    text = """# Commands

Every command takes `--data-dir` (where embedded data lives; default `RAGWORK_DATA_DIR`, else
`$XDG_DATA_HOME/ragwork` or `~/.local/share/ragwork`) and `--json` (print data as JSON), and works while a
server runs on the same data directory. Settings are read from `ragwork.toml` and `.env` in the working
directory, or in the folder that `RAGWORK_CONFIG_DIR` names.

Exit status: 0 done; 1 it failed, or what was checked is not well; 2 a wrong setting or a wrong call.
"""
    for path, command in sorted(leaves(command_line())):
        text += f"\n## `ragwork {' '.join(path)}`\n\n{_sentence(command.help or '')}\n\n"
        rows = [_parameter(p) for p in command.params if p.name not in ("data_dir", "as_json")]
        text += _table(("option", "default", "meaning"), rows) if rows else ""
    return text


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below ``group`` that does something, with its path; a group may do something itself."""
    for name, command in group.commands.items():
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield (*path, name), command
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))


def _parameter(parameter: click.Parameter) -> tuple[str, str, str]:
    if isinstance(parameter, click.Option):
        name, meaning = f"`{parameter.opts[0]}`", parameter.help or ""
    else:
        name, meaning = f"`{parameter.human_readable_name}`", "argument"
    if isinstance(parameter.type, click.Choice):
        meaning += f" ({', '.join(str(choice) for choice in parameter.type.choices)})"
    default = parameter.default if isinstance(parameter.default, str) else None
    shown = "required" if parameter.required else f"`{default}`" if default else ""
    return name, shown, meaning


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


# --- errors and routes ----------------------------------------------------------------------------


def errors(document: Mapping[str, Any]) -> str:
    """The catalogue of codes by status, and the routes that declare each of the rarer ones."""
    text = """# Error codes

A refused request answers with an envelope; `code` is stable, `message` is for people,
and `details` stands there when the code has any.

```json
{
  "error": {"code": "NOT_FOUND", "message": "corpus 'c9' does not exist"},
  "meta": {"request_id": "72c03e54-1d1c-4d06-9e19-0f607e817820", "api_version": "v1"}
}
```

Codes that an `error` event of a stream adds: [the run protocol](sse.md). Codes of providers: the README of each plugin.

"""
    declared = _declared(document)
    rows = []
    for code, status in sorted(STATUS_OF.items(), key=lambda item: (item[1], item[0])):
        where = declared.get(code, [])
        shown = ", ".join(f"`{name}`" for name in where) if len(where) <= 6 else f"{len(where)} operations"
        default = "yes" if DEFAULT_CODES.get(status) == code else ""
        rows.append((str(status), f"`{code}`", default, shown))
    return text + _table(("status", "code", "default of its status", "declared by"), rows)


def _declared(document: Mapping[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for _, _, operation in _operations(document):
        for response in operation["responses"].values():
            for code in response.get("x-codes", ()):
                found.setdefault(code, []).append(operation["operationId"])
    return found


def http(document: Mapping[str, Any]) -> str:
    """Every route by area, its parameters, and the fields of every class that a body or an answer has."""
    text = f"""# HTTP routes

From the OpenAPI document that `GET /v1/openapi.json` and `ragwork openapi` give; a page for people is `/v1/docs`.
{document["info"]["description"]}
"""
    schemas = document["components"]["schemas"]
    for tag in document["tags"]:
        own = [o for o in _operations(document) if o[2]["tags"] == [tag["name"]]]
        rows = [(m, f"`{p}`", o.get("x-role", "public"), o["summary"], _classes_of(o)) for p, m, o in own]
        text += f"\n## {tag['name']}\n\n{tag.get('description', '')}\n\n"
        text += _table(("method", "path", "role", "what it does", "body → answer"), rows)
        parameters = {p["name"]: p for _, _, o in own for p in o["parameters"] if "name" in p}
        if parameters:
            meanings = [
                (f"`{n}`", p["in"], _type(p["schema"], schemas), p.get("description", ""))
                for n, p in parameters.items()
            ]
            text += "\n" + _table(("parameter", "in", "type", "meaning"), meanings)
    text += "\n## Bodies and answers\n"
    for name, schema in sorted(schemas.items()):
        text += f"\n### {name}\n\n{schema.get('description', '')}\n\n{_fields(schema, schemas)}"
    return text


def _classes_of(operation: Mapping[str, Any]) -> str:
    """What goes in and what comes out, by the names of the classes."""
    body = [_named(c["schema"]) for c in operation.get("requestBody", {}).get("content", {}).values()]
    success = next(answer for status, answer in operation["responses"].items() if status.startswith("2"))
    answers = [_named(c["schema"]) for c in success.get("content", {}).values()]
    pieces = [" ".join(dict.fromkeys(filter(None, names))) for names in (body, answers)]
    return " → ".join(pieces) if any(pieces) else ""


def _named(schema: Mapping[str, Any]) -> str:
    """A link to the class that a schema is, or is a list of."""
    schema = schema.get("properties", {}).get("data", schema)
    schema = schema.get("items", schema)
    name = schema.get("$ref", "").rpartition("/")[2]
    return f"[{name}](#{name.lower()})" if name else ""


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    if "oneOf" in schema:
        return "".join(f"- {_named(option)}\n" for option in schema["oneOf"])
    required = schema.get("required", [])
    rows = []
    for name, field in schema.get("properties", {}).items():
        need = "yes" if name in required else ""
        default = f"`{field['default']}`" if field.get("default") is not None else ""
        rows.append((f"`{name}`", _type(field, schemas), need, default, field.get("description", "")))
    return _table(("field", "type", "required", "default", "meaning"), rows) if rows else ""


def _type(field: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    if "$ref" in field:
        return _named(field)
    if "anyOf" in field:
        return " or ".join(_type(option, schemas) for option in field["anyOf"])
    if "enum" in field:
        return ", ".join(f"`{option}`" for option in field["enum"])
    kind = str(field.get("type", "any"))
    bounds = [f"{field[a]} to {field[b]}" for a, b in _BOUNDS if a in field and b in field]
    if kind == "array":
        kind = f"array of {_type(field.get('items', {}), schemas)}"
    return f"{kind} ({bounds[0]})" if bounds else kind


_BOUNDS = (("minLength", "maxLength"), ("minimum", "maximum"))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [head, ["---" for _ in head], *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |\n" for row in cells)


if __name__ == "__main__":
    sys.exit(main())
