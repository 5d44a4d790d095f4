"""Routes ``openapi.*``: the description for programs, and the same for people."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Final

import orjson
from ragwork_hooks.http import AnyRoute, Area, Call, File, Route
from ragwork_hooks.plugin import Services

from ragwork_apidocs import docs_page
from ragwork_apidocs.openapi import document_of

AREA: Final = Area(name="openapi", about="This description.", rank=62)


class ApiDocsRoutes:
    """Serves what all plugins declared, which never changes while the server runs."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._described: dict[str, bytes] = {}
        self._describing = threading.Lock()

    def declare(self) -> tuple[AnyRoute, ...]:
        """The two routes."""
        return (
            _public("openapi.get", "/v1/openapi.json", "This API as OpenAPI 3.1", self._openapi),
            _public(
                "openapi.docs.get", "/v1/docs", "This API for people", self._docs, media_type="text/html"
            ),
        )

    async def _openapi(self, _call: Call[Any, Any]) -> File:
        data = await self._once("json", lambda: orjson.dumps(document_of(self._services)))
        return File(data=data, mime="application/json; charset=utf-8")

    async def _docs(self, _call: Call[Any, Any]) -> File:
        headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        page = await self._once("html", lambda: docs_page.render(document_of(self._services)).encode())
        return File(data=page, mime="text/html; charset=utf-8", headers=headers)

    async def _once(self, form: str, make: Callable[[], bytes]) -> bytes:
        """Making it must not hold up the loop."""
        if form not in self._described:
            await asyncio.to_thread(self._describe, form, make)
        return self._described[form]

    def _describe(self, form: str, make: Callable[[], bytes]) -> None:
        # One at a time, also when who asked has gone: Python's parser must not run in two threads.
        with self._describing:
            if form not in self._described:
                self._described[form] = make()


def _public(
    name: str,
    path: str,
    summary: str,
    handler: Callable[[Call[Any, Any]], Any],
    media_type: str = "application/json",
) -> AnyRoute:
    return Route(
        name=name,
        method="GET",
        path=path,
        summary=summary,
        handler=handler,
        scope="public",
        action=None,
        rate_class="public",
        idempotency="none",
        audit_event=None,
        feature=None,
        stale_reads=False,
        transaction="none",
        response=None,
        media_type=media_type,
    )
