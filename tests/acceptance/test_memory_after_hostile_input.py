"""What hostile bodies leave in a server's memory."""

import asyncio
import io
import os
import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from installed import Installed, Server
from ragwork_hooks.http import AnyRoute
from ragwork_kernel.request.request_body import limit_of
from ragwork_testkit.hostile import bodies, large_values
from ragwork_testkit.platform import ALL_PLUGINS, DOOR_SETTINGS, Running

Start = Callable[..., AbstractAsyncContextManager[Running]]
SEED: Final = int(os.environ.get("RAGWORK_SEED") or 7)
#: Kinds of bodies to a route, and how many of each are under way at once.
BODIES: Final = 3
AT_ONCE: Final = 8
SMALL: Final = 2_000
#: How long a server is left alone before it is measured, in seconds.
SETTLE_S: Final = 10.0


def rss_mb(server: Server) -> float:
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


async def attacked(server: Server, key: str, routes: list[AnyRoute], largest: int) -> None:
    some = random.Random(SEED)
    places = asyncio.Semaphore(AT_ONCE)
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:

        async def send(route: AnyRoute, raw: bytes) -> None:
            path = "/".join("x" if "{" in part else part for part in route.path.split("/"))
            headers = {"Content-Type": "application/json"}
            async with (
                places,
                session.request(
                    route.method, server.base + path, data=io.BytesIO(raw), headers=headers
                ) as answer,
            ):
                await answer.read()

        for route in routes:
            limit = limit_of(route, largest)
            for value in some.sample(list(large_values(limit - 1_000)), BODIES):
                sent = some.sample(list(bodies(route, [value])), 1)
                await asyncio.gather(*(send(route, raw) for raw in sent * AT_ONCE))


async def highest(server: Server, peak: list[float]) -> None:
    while True:
        peak.append(rss_mb(server))
        await asyncio.sleep(0.05)


@pytest.mark.skipif(not os.environ.get("RAGWORK_PROVE"), reason="takes minutes: RAGWORK_PROVE=1 runs it")
async def test_hostile_bodies_leave_little_behind_and_repeated_ones_nothing(
    platform: Start, tmp_path: Path
) -> None:
    async with platform(plugins=ALL_PLUGINS, settings=DOOR_SETTINGS) as app:
        routes = [route for route in app.platform.routes if route.body_kind in ("json", "optional_json")]
        largest = app.platform.assembly.kernel.max_request_bytes
    ragwork = Installed(data_dir=tmp_path / "data", cwd=tmp_path)
    with ragwork.serving() as server:
        made = ragwork.json(
            "keys", "create", "--tenant", "t1", "--role", "admin", "--name", "n", "--platform"
        )
        measured, peak = [], [0.0]
        watching = asyncio.create_task(highest(server, peak))
        # What is loaded with a first request is no leak, so as many small ones come first.
        for size in (SMALL, largest, largest):
            await attacked(server, made["key"], routes, size)
            await asyncio.sleep(SETTLE_S)
            measured.append(rss_mb(server))
        watching.cancel()
    before, first, second = measured
    print(
        f"RSS {before:.0f} MB before, {max(peak):.0f} at most, {first:.0f} after, {second:.0f} after once more"
    )
    assert first - before < (max(peak) - before) / 2
    assert second < 1.1 * first
