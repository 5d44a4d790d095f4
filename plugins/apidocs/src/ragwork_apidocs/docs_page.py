"""The API reference as one page without scripts, fonts or hosts: readable offline and under a strict CSP."""

from collections.abc import Mapping
from html import escape
from typing import Any, Final

import orjson

_SHOWN_ELSEWHERE: Final = ("type", "additionalProperties", "description", "examples")
_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
h1{margin-bottom:.2rem}nav a{display:inline-block;margin:0 1rem .3rem 0}
details{border:1px solid #ccc;border-radius:4px;margin:.5rem 0;padding:.4rem .8rem}
summary{cursor:pointer}code{font-family:ui-monospace,monospace}
.method{display:inline-block;min-width:4.5rem;font-weight:700}
table{border-collapse:collapse;width:100%;margin:.5rem 0}
td,th{border-bottom:1px solid #ddd;padding:.25rem .5rem;text-align:left;vertical-align:top}
.note{color:#555}
"""


def render(document: Mapping[str, Any]) -> str:
    """HTML of an OpenAPI document."""
    groups: dict[str, list[str]] = {tag["name"]: [] for tag in document["tags"]}
    parameters = document["components"]["parameters"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            groups[operation["tags"][0]].append(_operation(path, method, operation, parameters))
    links = "".join(f'<a href="#{escape(tag)}">{escape(tag)}</a>' for tag in groups)
    sections = "".join(
        f'<h2 id="{escape(tag["name"])}">{escape(tag["name"])}</h2><p>{escape(tag.get("description", ""))}</p>'
        f"{''.join(groups[tag['name']])}"
        for tag in document["tags"]
    )
    schemas = "".join(
        _schema(name, schema) for name, schema in sorted(document["components"]["schemas"].items())
    )
    info = document["info"]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])} API</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head>'
        f'<body><h1>{escape(info["title"])} API</h1><p class="note">{escape(info["description"])} '
        f'Machine-readable: <a href="/v1/openapi.json">/v1/openapi.json</a></p><nav>{links}'
        f'<a href="#schemas">schemas</a></nav>{sections}<h2 id="schemas">schemas</h2>{schemas}</body></html>'
    )


def _operation(
    path: str, method: str, operation: Mapping[str, Any], parameters: Mapping[str, Mapping[str, Any]]
) -> str:
    declared = (
        parameters[p["$ref"].rpartition("/")[2]] if "$ref" in p else p for p in operation["parameters"]
    )
    rows = "".join(
        f"<tr><td><code>{escape(p['name'])}</code></td><td>{escape(p['in'])}</td>"
        f"<td>{_type(p['schema'])}{' (required)' if p['required'] else ''}</td>"
        f"<td>{escape(p.get('description', ''))}</td></tr>"
        for p in declared
    )
    answers = "".join(
        f"<tr><td>{escape(status)}</td><td>{escape(answer['description'])}{_answer(answer)}</td></tr>"
        for status, answer in operation["responses"].items()
    )
    role = operation.get("x-role", "public")
    return (
        f'<details><summary><span class="method">{escape(method.upper())}</span> <code>{escape(path)}</code> '
        f'{escape(operation["summary"])} <span class="note">({escape(role)})</span></summary>'
        f"<p>{escape(operation['description'])}</p><table>{rows}</table>{_body(operation)}"
        f"<table>{answers}</table></details>"
    )


def _body(operation: Mapping[str, Any]) -> str:
    """The body's type and the example that was checked against it."""
    shown = ""
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        example = ""
        if "example" in content:
            example = orjson.dumps(content["example"], option=orjson.OPT_INDENT_2).decode()
        shown += f"<p>Body: {escape(media)}, {_type(content['schema'])}</p><pre>{escape(example)}</pre>"
    return shown


def _answer(answer: Mapping[str, Any]) -> str:
    schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
    data = schema.get("properties", {}).get("data")
    return f": {_type(data)}" if data else ""


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", [])
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code></td>"
        f"<td>{_type(kind)}{' (required)' if field in required else ''}</td>"
        f"<td>{escape(kind.get('description', ''))}</td></tr>"
        for field, kind in schema.get("properties", {}).items()
    )
    options = "".join(f"<li>{_type(option)}</li>" for option in schema.get("oneOf", []))
    return (
        f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>'
        f"<p>{escape(schema.get('description', ''))}</p><table>{rows}</table><ul>{options}</ul></details>"
    )


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if "enum" in schema:
        return escape(" | ".join(str(option) for option in schema["enum"]))
    bounds = ", ".join(f"{key} {value}" for key, value in schema.items() if key not in _SHOWN_ELSEWHERE)
    return escape(f"{schema.get('type', 'any')}{f' ({bounds})' if bounds else ''}")
