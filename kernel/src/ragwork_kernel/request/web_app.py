"""The web application: routes, their unversioned aliases, CORS and what no route answers."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web
from ragwork_hooks.errors import Problem
from ragwork_hooks.http import AnyRoute, ErrorFormat

from ragwork_kernel.base.config import KernelConfig
from ragwork_kernel.request import front_page
from ragwork_kernel.request.pipeline import Handler, Pipeline
from ragwork_kernel.request.responses import SECURITY_HEADERS

Expectation = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
#: Where a plugin may list the API's paths.
_DOCS: Final = "/v1/docs"
_REDIRECTS: Final = {"/docs": _DOCS, "/openapi.json": "/v1/openapi.json"}
_CATCH_ALL: Final = "/{tail:.*}"
_PREFLIGHT_HEADERS: Final = (
    "Accept, Authorization, Content-Type, DPoP, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, "
    "X-API-Key, X-Request-Id, X-Role, X-Tenant-Id"
)
#: What scripts of another origin may read of every answer, beside what else stands on it.
_EXPOSED: Final = (
    "Deprecation", "Idempotency-Replayed", "Link", "Location", "Retry-After", "Server-Timing", "Sunset",
    "WWW-Authenticate", "X-RateLimit-Retry-After-Ms", "X-RateLimit-Route-Class", "X-RateLimit-Scope",
    "X-RateLimit-Status", "X-Request-Id",
)  # fmt: skip
_CORS: Final = (
    "Access-Control-Allow-Headers", "Access-Control-Allow-Methods", "Access-Control-Allow-Origin",
    "Access-Control-Max-Age", "Vary",
)  # fmt: skip


def application(pipeline: Pipeline, routes: tuple[AnyRoute, ...], config: KernelConfig) -> web.Application:
    """The aiohttp application. Nothing about a request is decided here."""
    app = web.Application()
    dialects = Dialects(routes)
    expected = _expected(pipeline, dialects)

    def add(method: str, path: str, handler: Handler) -> None:
        for each in (method, "HEAD") if method == "GET" else (method,):
            app.router.add_route(each, path, handler, expect_handler=expected)

    for route in routes:
        add(route.method, route.path, pipeline.handler(route))
        if route.legacy:
            add(route.method, route.path.removeprefix("/v1"), _alias(pipeline, route, config))
    served = frozenset(route.path for route in routes)
    for path, target in _REDIRECTS.items():
        if target in served:
            add("GET", path, _redirect(pipeline, target))
    add("GET", "/", _front(pipeline, front_page.render(config.app_name.capitalize(), served)))
    known = tuple(app.router.resources())
    advice = f"; {_DOCS} lists them" if _DOCS in served else ""
    add("*", _CATCH_ALL, _otherwise(pipeline, known, dialects, config.cors_allow_origins, advice))
    if config.cors_allow_origins:
        app.on_response_prepare.append(_expose)
    return app


class Dialects:
    """Which dialect an address without a route belongs to: the one that all routes next to it speak."""

    def __init__(self, routes: tuple[AnyRoute, ...]) -> None:
        self._under: dict[tuple[str, ...], dict[type, ErrorFormat | None]] = {}
        for route in routes:
            for path in (route.path, route.path.removeprefix("/v1")) if route.legacy else (route.path,):
                segments = _segments(path)
                for length in range(len(segments) + 1):
                    self._under.setdefault(segments[:length], {})[type(route.error_format)] = (
                        route.error_format
                    )

    def of(self, path: str) -> ErrorFormat | None:
        """By the longest beginning of ``path`` that routes have, too. Empty segments don't count."""
        segments = _segments(path)
        while segments and segments not in self._under:
            segments = segments[:-1]
        spoken = self._under.get(segments, {})
        return next(iter(spoken.values())) if len(spoken) == 1 else None


def _segments(path: str) -> tuple[str, ...]:
    return tuple(segment for segment in path.split("/") if segment)


def _alias(pipeline: Pipeline, route: AnyRoute, config: KernelConfig) -> Handler:
    if config.legacy_aliases == "keep":
        return pipeline.handler(route, legacy=True)

    async def gone(request: web.Request) -> web.StreamResponse:
        ended = Problem("GONE", f"unversioned paths have ended; call {route.path}")
        return pipeline.refuse(request, ended, legacy=True)

    return gone


def _expected(pipeline: Pipeline, dialects: Dialects) -> Expectation:
    """Nothing but ``100-continue`` can be expected; that is said when the body is about to be read."""

    async def check(request: web.Request) -> web.StreamResponse | None:
        if request.headers["Expect"].lower() == "100-continue":
            return None
        problem = Problem("EXPECTATION_FAILED", "of Expect, only 100-continue is understood")
        return pipeline.refuse(request, problem, legacy=False, error_format=dialects.of(request.path))

    return check


def _otherwise(
    pipeline: Pipeline,
    known: tuple[web.AbstractResource, ...],
    dialects: Dialects,
    origins: tuple[str, ...],
    advice: str,
) -> Handler:
    """Preflights of known paths, 405 with what they take, 404 for the rest."""

    async def handle(request: web.Request) -> web.StreamResponse:
        allowed: set[str] = set()
        for resource in known:
            _, methods = await resource.resolve(request)
            allowed |= methods
        if request.method == "OPTIONS" and allowed and request.headers.get("Origin") in origins:
            return pipeline.bare(request, 204, _preflight(allowed))
        return pipeline.refuse(
            request, _refusal(allowed, advice), legacy=False, error_format=dialects.of(request.path)
        )

    return handle


def _refusal(allowed: set[str], advice: str) -> Problem:
    if not allowed:
        return Problem("NOT_FOUND", f"no such path{advice}")
    methods = ", ".join(sorted(allowed))
    return Problem("METHOD_NOT_ALLOWED", f"this path takes {methods}", headers={"Allow": methods})


def _preflight(allowed: set[str]) -> Mapping[str, str]:
    return {
        "Access-Control-Allow-Methods": ", ".join(sorted(allowed)),
        "Access-Control-Allow-Headers": _PREFLIGHT_HEADERS,
        "Access-Control-Max-Age": "600",
        "Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
    }


async def _expose(_request: web.Request, response: web.StreamResponse) -> None:
    if "Access-Control-Allow-Origin" in response.headers:
        own = (name for name in response.headers if name not in SECURITY_HEADERS and name not in _CORS)
        response.headers["Access-Control-Expose-Headers"] = ", ".join(dict.fromkeys((*_EXPOSED, *own)))


def _redirect(pipeline: Pipeline, target: str) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return pipeline.bare(request, 307, {"Location": target})

    return handle


def _front(pipeline: Pipeline, page: bytes) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return pipeline.bare(request, 200, front_page.HEADERS, page)

    return handle
