"""Routes ``openapi.*``: the description for programs, and the same for people."""

import asyncio
import threading
from collections.abc import Callable
from typing import Final

import orjson
from ragwork_hooks.http import AnyRoute, Area, Empty, File, Request
from ragwork_hooks.services import Services
from ragwork_toolkit.routes import public_route

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
            public_route(
                name="openapi.get", method="GET", path="/v1/openapi.json", summary="This API as OpenAPI 3.1",
                handler=self._openapi, response=None,
            ),
            public_route(
                name="openapi.docs.get", method="GET", path="/v1/docs", summary="This API for people",
                handler=self._docs, response=None, media_type="text/html",
            ),
        )  # fmt: skip

    async def _openapi(self, _call: Request[Empty, Empty]) -> File:
        data = await self._once("json", lambda: orjson.dumps(document_of(self._services)))
        return File(data=data, mime="application/json; charset=utf-8")

    async def _docs(self, _call: Request[Empty, Empty]) -> File:
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
