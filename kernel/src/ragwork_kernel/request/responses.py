"""What leaves the server: envelopes, errors, security headers, and the older shapes of unversioned paths."""

import re
from collections.abc import Mapping
from typing import Final

import attrs
from aiohttp import web
from multidict import CIMultiDict
from ragwork_hooks.errors import Problem
from ragwork_hooks.http import ErrorFormat, File, Response

from ragwork_kernel.base import json_codec
from ragwork_kernel.base.config import KernelConfig

JSON = "application/json; charset=utf-8"
_MAX_MESSAGE: Final = 2_000
_MAX_DETAILS: Final = 32_768

SECURITY_HEADERS: Mapping[str, str] = {
    "Server": "ragwork",  # no versions for those who collect them
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "Cache-Control": "no-store",
}


_SAFE_ID: Final = re.compile(r"[A-Za-z0-9._\-]{1,64}")


class ResponseFormats:
    """How answers are formed, by what a request says and which path it takes."""

    def __init__(self, config: KernelConfig) -> None:
        self._origins = config.cors_allow_origins
        self._legacy_headers = {
            **SECURITY_HEADERS,
            "Deprecation": "true",
            "Sunset": config.legacy_sunset,
            "Link": '</v1/docs>; rel="successor-version"',
        }

    def of(
        self,
        request: web.BaseRequest,
        request_id: str,
        *,
        legacy: bool = False,
        error_format: ErrorFormat | None = None,
    ) -> "ResponseFormat":
        """``request_id`` is the server's own; a client's id is echoed when it is short and safe."""
        sent = request.headers.get("X-Request-Id", "")
        echo_id = sent if _SAFE_ID.fullmatch(sent) else request_id
        base = self._legacy_headers if legacy else SECURITY_HEADERS
        headers = {**base, "X-Request-Id": echo_id, **self._cors(request)}
        return ResponseFormat(echo_id=echo_id, legacy=legacy, headers=headers, error_format=error_format)

    def without_request(self, request_id: str) -> "ResponseFormat":
        """For a client that has sent none."""
        headers = {**SECURITY_HEADERS, "X-Request-Id": request_id}
        return ResponseFormat(echo_id=request_id, legacy=False, headers=headers)

    def _cors(self, request: web.BaseRequest) -> Mapping[str, str]:
        origin = request.headers.get("Origin")
        if origin is None or origin not in self._origins:
            return {}
        return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}


@attrs.frozen(kw_only=True)
class ResponseFormat:
    """How one request's answers are formed: enveloped, or as an unversioned path always answered."""

    echo_id: str
    legacy: bool
    headers: Mapping[str, str]
    error_format: ErrorFormat | None = None

    def success(self, result: object, default_status: int, extra: Mapping[str, str]) -> web.Response:
        """The answer to what a handler returned."""
        if isinstance(result, File):
            headers = self._headers(extra, result.headers)
            headers["Content-Type"] = result.mime
            return web.Response(status=result.status, body=result.data, headers=headers)
        status, own = default_status, extra
        if isinstance(result, Response):
            status, own, result = result.status, {**extra, **result.headers}, result.data
        if status == 204:
            return web.Response(status=204, headers=self._headers(own))
        bare = self.legacy or self.error_format is not None
        body = result if bare else {"data": result, "meta": self._meta()}
        return self._json(status, body, own)

    def failure(self, problem: Problem, extra: Mapping[str, str]) -> web.Response:
        """The answer to a refusal, short however much was refused."""
        _shorten(problem)
        headers = {**extra, **problem.headers}
        if problem.status == 401:
            headers.setdefault("WWW-Authenticate", "Bearer")
        if self.error_format is not None:
            status, body = self.error_format.failure(problem, self.echo_id)
            return self._json(status, body, headers)
        return self._json(problem.status, self._error_body(problem), headers)

    def _error_body(self, problem: Problem) -> object:
        details = dict(problem.details)
        if not self.legacy:
            error: dict[str, object] = {"code": problem.code, "message": problem.message}
            if details:
                error["details"] = details
            return {"error": error, "meta": self._meta()}
        if problem.code == "REQUEST_VALIDATION_ERROR":
            return {"detail": details.get("errors", [])}
        if problem.status == 500:
            return {"detail": "Internal Server Error"}
        return {"detail": {"code": problem.code, "message": problem.message, **details}}

    def _json(self, status: int, body: object, extra: Mapping[str, str]) -> web.Response:
        headers = self._headers(extra)
        headers["Content-Type"] = JSON if self.error_format is None else self.error_format.media_type
        return web.Response(status=status, body=json_codec.dumps(body), headers=headers)

    def _meta(self) -> dict[str, str]:
        return {"request_id": self.echo_id, "api_version": "v1"}

    def _headers(self, *more: Mapping[str, str]) -> CIMultiDict[str]:
        headers = CIMultiDict(self.headers)
        for layer in more:
            headers.update(layer)
        return headers


def _shorten(problem: Problem) -> None:
    """A guard behind those who make refusals: none of them repeats what a client sent at length."""
    if len(problem.message) > _MAX_MESSAGE:
        problem.message = problem.message[:_MAX_MESSAGE] + "…"
    if problem.details and len(json_codec.dumps(problem.details)) > _MAX_DETAILS:
        problem.details = {"shortened": True}
