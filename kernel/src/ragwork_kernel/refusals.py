"""What the request path refuses by itself, and the words for what nobody foresaw."""

import logging
from collections.abc import Mapping
from typing import Final

import asyncpg
from aiohttp import web
from ragwork_hooks.errors import Problem, ProviderError, unavailable

from ragwork_kernel.config import KernelConfig
from ragwork_kernel.exchange import Exchange
from ragwork_kernel.failures import UNEXPECTED

_MAX_ID: Final = 256

log = logging.getLogger(__name__)


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


def too_slow(exchange: Exchange, config: KernelConfig) -> Problem:
    """A deadline has passed: the client's for sending, or ours for working."""
    if exchange.stage == "decoding":
        return Problem(
            "REQUEST_TIMEOUT",
            f"the body did not arrive within {config.body_timeout_s:g} s",
            headers={"Connection": "close"},
        )
    return unavailable(f"not done within {config.request_timeout_s:g} s; nothing was changed")


def unforeseen(error: Exception) -> Problem:
    """The refusal for an exception that nobody turned into one; its cause goes to the log only."""
    if isinstance(error, ProviderError):
        return Problem(error.code, error.message, status=503)
    log.error("a request failed", exc_info=error)
    if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError):
        return Problem("DB_ERROR", "the database refused; the operator's log has the cause")
    return Problem("INTERNAL_ERROR", UNEXPECTED)
