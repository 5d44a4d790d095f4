"""What a browser finds at the root: a page without scripts or versions that leads on."""

from collections.abc import Collection
from html import escape
from typing import Final

HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
}
_LINKS: Final = (
    ("/v1/docs", "what the API offers, for people"),
    ("/v1/openapi.json", "the same for programs"),
    ("/v1/health", "how the server is"),
)


def render(title: str, served: Collection[str]) -> bytes:
    """HTML of the page, with links to those of its paths that are ``served``."""
    links = "".join(
        f'<li><a href="{path}">{path}</a>: {what}</li>' for path, what in _LINKS if path in served
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem}</style>"
        f"</head><body><h1>{escape(title)}</h1><p>The server runs. This is an HTTP API; requests carry a key as "
        f"<code>Authorization: Bearer</code>.</p><ul>{links}</ul></body></html>"
    ).encode()
