"""Reading a stream of an SDK ahead of its consumer."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar

T = TypeVar("T")


@asynccontextmanager
async def read_ahead(
    start: Callable[[], Awaitable[AsyncIterator[T]]], timeout_s: float
) -> AsyncIterator[AsyncIterator[T]]:
    """The items of the stream that ``start`` gives; all of it may take ``timeout_s``. Leaving ends the stream.

    A task reads it without ever waiting for the consumer, so it always waits for the service when it is
    cancelled, and the connection is closed at once. The SDK's generators, closed where they yield, would
    leave that to the garbage collector.
    """
    queue: asyncio.Queue[T | None] = asyncio.Queue()

    async def read() -> None:
        try:
            async with asyncio.timeout(timeout_s):
                async for item in await start():
                    queue.put_nowait(item)
        finally:
            queue.put_nowait(None)

    async def items() -> AsyncGenerator[T, None]:
        while (item := await queue.get()) is not None:
            yield item
        await reader  # raises what ended the stream

    reader = asyncio.create_task(read())
    try:
        async with aclosing(items()) as found:
            yield found
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
