"""Memory for request bodies: bounded for the process, shared by tenants, and asked for before a body is read."""

from typing import Any, Final

from aiohttp import web
from ragwork_hooks.errors import Problem, retry_after

from ragwork_kernel.base.shares import KernelShare, SharesFactory
from ragwork_kernel.request import request_body
from ragwork_kernel.request.request_context import RequestContext

#: Bodies up to this size are not counted: what bounds the connections bounds them.
UNCOUNTED: Final = 65_536
#: How long a body waits for room whose tenant has others in memory, in seconds.
WAIT_S: Final = 2.0
MAX_WAITING: Final = 1_000


class BodyMemory:
    """``total`` bytes. One tenant may hold half of them: its clients decide how long an upload takes."""

    def __init__(self, total: int, shares: SharesFactory) -> None:
        self._shares = shares.make(
            "bodies", total, waiting=MAX_WAITING, wait_s=WAIT_S, most=max(total // 2, 1), refusal=_busy
        )

    async def decoded(self, context: RequestContext, limit: int) -> Any:
        """The body as its route's class. Memory for it is there before it is read, and is ``context.body``."""
        route, request = context.route, context.request
        if route.body_kind != "none":
            context.body = await self._reserve(request, limit)
        decoded = await request_body.decode(request, route, limit)
        if context.body is not None:
            context.body.shrink(request.content.total_bytes)
        return decoded

    async def _reserve(self, request: web.Request, limit: int) -> KernelShare | None:
        """Room for the request's body; ``None`` for a small one.

        A body that does not say its length, or is packed, gets room for ``limit`` bytes; one over the limit none:
        it will be refused.
        Raises ``Problem`` 503; the answer closes the connection, for the body is not read.
        """
        if not request.body_exists:
            return None
        declared = request.content_length
        size = limit if declared is None or "Content-Encoding" in request.headers else declared
        if size <= UNCOUNTED or size > limit:
            return None
        return await self._shares.take(size)


def _busy(said: str) -> Problem:
    return Problem("SERVICE_BUSY", said, headers={**retry_after(1), "Connection": "close"})
