"""Idempotency keys: what identifies a request, and the answer that a repeated one gets."""

import hashlib
from collections.abc import Mapping
from typing import Any

import attrs
import orjson
from aiohttp import web
from multidict import CIMultiDict
from ragwork_hooks.errors import Problem, retry_after
from ragwork_hooks.http import Request, Response, Upload
from ragwork_hooks.idempotency import (
    Claimed,
    Conflict,
    FirstTime,
    IdempotencyClaim,
    IdempotencyStore,
    InProgress,
    StoredReply,
)
from ragwork_hooks.storage import Transaction

from ragwork_kernel.base import json_codec
from ragwork_kernel.request.request_context import RequestContext

HEADER = "Idempotency-Key"
_LONGEST = 128


class IdempotencyKeys:
    """Claims keys and keeps answers through the capability; without one, keys are checked and not honoured."""

    def __init__(self, capability: IdempotencyStore | None) -> None:
        self._capability = capability

    def claim(self, context: RequestContext, request: Request[Any, Any]) -> IdempotencyClaim | None:
        """What this request claims; ``None`` when it sends no key or its route takes none."""
        wish = context.route.idempotency
        if wish == "none" or context.response_format.legacy or context.caller is None:
            return None
        sent = context.request.headers.getall(HEADER, [])
        if not sent and wish == "accepted":
            return None
        if not sent:
            raise Problem("IDEMPOTENCY_KEY_REQUIRED", f"send a {HEADER} header with a key of your choice")
        key = sent[0]
        if len(sent) > 1 or not 0 < len(key) <= _LONGEST or not (key.isascii() and key.isprintable()):
            raise Problem(
                "IDEMPOTENCY_KEY_INVALID",
                f"{HEADER} takes one key of 1 to {_LONGEST} printable ASCII characters",
            )
        return IdempotencyClaim(
            actor_id=context.caller.credential_id,
            method=context.route.method,
            path=context.request.path,
            key=key,
            payload_sha256=payload_hash(request),
        )

    async def take(self, tx: Transaction | None, claim: IdempotencyClaim | None) -> Claimed:
        """The key for this transaction, or what became of it."""
        if claim is None or tx is None or self._capability is None:
            return FirstTime()
        return await self._capability.claim(tx, claim)

    async def keep(
        self,
        tx: Transaction | None,
        claim: IdempotencyClaim | None,
        context: RequestContext,
        result: object,
        response: web.Response,
    ) -> None:
        """Keep ``response`` for repeats, without the secret it may show."""
        if claim is None or tx is None or self._capability is None:
            return
        headers: Mapping[str, str] = {}
        if isinstance(result, Response):
            headers = result.headers
            if result.replay is not None:
                response = context.response_format.success(
                    Response(data=result.replay, status=result.status), result.status, {}
                )
        body = response.body if isinstance(response.body, bytes) else b""
        stored = StoredReply(
            status=response.status, headers=headers, body=body, echo_id=context.response_format.echo_id
        )
        await self._capability.store(tx, claim, stored)


def refuse(claimed: Claimed) -> None:
    """Raise what a key that can't be used answers."""
    if isinstance(claimed, Conflict):
        raise Problem(
            "IDEMPOTENCY_KEY_CONFLICT", f"this {HEADER} was used for another request; choose a new key"
        )
    if isinstance(claimed, InProgress):
        raise Problem(
            "IDEMPOTENCY_KEY_CONFLICT",
            "the same request is being worked on; ask again shortly",
            headers=retry_after(claimed.retry_after_s),
        )


def replayed(context: RequestContext, reply: StoredReply) -> web.Response:
    """The stored answer, byte for byte, with this request's limits in the headers."""
    headers = CIMultiDict({**context.response_format.headers, **context.admission.headers, **reply.headers})
    headers["X-Request-Id"] = reply.echo_id
    headers["Idempotency-Replayed"] = "true"
    if reply.status == 204:
        return web.Response(status=204, headers=headers)
    headers["Content-Type"] = "application/json; charset=utf-8"
    return web.Response(status=reply.status, body=reply.body, headers=headers)


def payload_hash(request: Request[Any, Any]) -> bytes:
    """SHA-256 over query and body as decoded: spacing, field order and spelled-out defaults don't matter,
    files count by their content. Numbers inside free-form objects count as they are written.
    """
    meaning = orjson.dumps(
        [request.query, request.body], default=_plain, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
    )
    return hashlib.sha256(meaning).digest()


def _plain(value: object) -> object:
    if isinstance(value, Upload):
        return [value.filename, value.content_type, hashlib.sha256(value.data).hexdigest()]
    kind: Any = type(value)
    if attrs.has(kind):
        return {field.name: getattr(value, field.name) for field in attrs.fields(kind)}
    return json_codec.plain(value)
