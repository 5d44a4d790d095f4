"""What the request path refuses by itself."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web
from ragwork_hooks.errors import Problem, unavailable

from ragwork_kernel.base.config import KernelConfig
from ragwork_kernel.request.request_context import RequestContext

_MAX_ID: Final = 256


def unreadable(request: web.Request) -> None:
    """Raises ``Problem`` 400 for headers that are not UTF-8: nothing that keeps one could take it."""
    for _, value in request.raw_headers:
        if not value.isascii():
            try:
                value.decode()
            except UnicodeDecodeError:
                raise Problem("BAD_REQUEST", "a header's value is not UTF-8") from None


def path_of(request: web.Request) -> Mapping[str, str]:
    """The path's parameters. What no stored id can be is answered like an id that does not exist."""
    for name, value in request.match_info.items():
        if len(value) > _MAX_ID or not value.isprintable():
            raise Problem("NOT_FOUND", f"{name} {value[:40]!r} does not exist")
    return dict(request.match_info)


def too_slow(context: RequestContext, config: KernelConfig) -> Problem:
    """A deadline has passed: the client's for sending, or ours for working."""
    if context.decisions.stage == "decoding":
        return Problem(
            "REQUEST_TIMEOUT",
            f"the body did not arrive within {config.body_timeout_s:g} s",
            headers={"Connection": "close"},
        )
    return unavailable(f"not done within {config.request_timeout_s:g} s; nothing was changed")
