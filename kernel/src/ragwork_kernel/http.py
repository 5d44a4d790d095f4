"""The web application: routes, their unversioned aliases, CORS preflights and what no route answers."""

from collections.abc import Mapping

from aiohttp import web
from ragwork_hooks.errors import Problem
from ragwork_hooks.http import AnyRoute

from ragwork_kernel.config import KernelConfig
from ragwork_kernel.pipeline import Handler, Pipeline

_REDIRECTS = {"/docs": "/v1/docs", "/openapi.json": "/v1/openapi.json"}
_PREFLIGHT_HEADERS = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-Request-Id"
_CATCH_ALL = "/{tail:.*}"


def application(pipeline: Pipeline, routes: tuple[AnyRoute, ...], config: KernelConfig) -> web.Application:
    """The aiohttp application. Nothing about a request is decided here."""
    app = web.Application()
    for route in routes:
        app.router.add_route(route.method, route.path, pipeline.handler(route))
        if route.legacy:
            alias = route.path.removeprefix("/v1")
            app.router.add_route(route.method, alias, _alias(pipeline, route, config))
    for path, target in _REDIRECTS.items():
        app.router.add_get(path, _redirect(pipeline, target))
    known = tuple(app.router.resources())
    app.router.add_route("*", _CATCH_ALL, _otherwise(pipeline, known, config.cors_allow_origins))
    return app


def _alias(pipeline: Pipeline, route: AnyRoute, config: KernelConfig) -> Handler:
    if config.legacy_aliases == "keep":
        return pipeline.handler(route, legacy=True)

    async def gone(request: web.Request) -> web.StreamResponse:
        ended = Problem("GONE", f"unversioned paths have ended; call {route.path}")
        return pipeline.refuse(request, ended, legacy=True)

    return gone


def _otherwise(
    pipeline: Pipeline, known: tuple[web.AbstractResource, ...], origins: tuple[str, ...]
) -> Handler:
    """Preflights of known paths, 405 with what they take, 404 for the rest."""

    async def handle(request: web.Request) -> web.StreamResponse:
        allowed: set[str] = set()
        for resource in known:
            _, methods = await resource.resolve(request)
            allowed |= methods
        if request.method == "OPTIONS" and allowed and request.headers.get("Origin") in origins:
            return pipeline.bare(request, 204, _preflight(allowed))
        return pipeline.refuse(request, _refusal(allowed), legacy=False)

    return handle


def _refusal(allowed: set[str]) -> Problem:
    if not allowed:
        return Problem("NOT_FOUND", "no such path; /v1/docs lists them")
    methods = ", ".join(sorted(allowed))
    return Problem("METHOD_NOT_ALLOWED", f"this path takes {methods}", headers={"Allow": methods})


def _preflight(allowed: set[str]) -> Mapping[str, str]:
    return {
        "Access-Control-Allow-Methods": ", ".join(sorted(allowed)),
        "Access-Control-Allow-Headers": _PREFLIGHT_HEADERS,
        "Access-Control-Max-Age": "600",
    }


def _redirect(pipeline: Pipeline, target: str) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return pipeline.bare(request, 307, {"Location": target})

    return handle
