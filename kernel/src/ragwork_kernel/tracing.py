"""Tracing: first version; spans that cost nothing."""

import contextlib
from collections.abc import AsyncIterator

from ragwork_kernel.config import KernelConfig


class NoTracer:
    @contextlib.asynccontextmanager
    async def span(self, name: str, **attributes: str | int | float | bool) -> AsyncIterator[None]:
        yield

    def close(self) -> None:
        return


def make_tracer(config: KernelConfig) -> NoTracer:
    return NoTracer()
