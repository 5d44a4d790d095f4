"""Hostile input to every route: never the server's fault, never a long answer, never at the cost of others."""

import asyncio
import gc
import http.client
import itertools
import os
import random
import time
import typing
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import attrs
from ragwork_hooks.fields import SCHEMA
from ragwork_hooks.http import AnyRoute
from ragwork_kernel.base import bounds
from ragwork_kernel.request.request_body import limit_of
from ragwork_testkit.hostile import SEGMENTS, bodies, fields_of, large_values, queries, small_values
from ragwork_testkit.platform import ALL_PLUGINS, DOOR_SETTINGS, Running
from yarl import URL

Start = Callable[..., AbstractAsyncContextManager[Running]]
PROVE = bool(os.environ.get("RAGWORK_PROVE"))
SEED = int(os.environ.get("RAGWORK_SEED") or 7)
#: Of what could be sent to a route, how much is.
BODIES, QUERIES, PATHS = (400, 40, 25) if PROVE else (12, 3, 3)
LARGE = 1_000 if PROVE else 1
LONGEST_ANSWER, LONGEST_TURN_S = 65_536, 0.05
ASSEMBLY: dict[str, Any] = {
    "plugins": ALL_PLUGINS,
    "settings": DOOR_SETTINGS,
}


@attrs.define
class Attack:
    """Sends what it is given to a route, and notes every answer that is not as promised."""

    app: Running
    key: str
    scim: str
    faults: list[str] = attrs.field(factory=list)
    statuses: Counter[int] = attrs.field(factory=Counter)

    @classmethod
    async def on(cls, app: Running) -> "Attack":
        """With everything that can be had, and something under the id that is called."""
        key = await app.key(platform=True)
        await app.call("POST", "/v1/corpora", key, json={"id": "x", "name": "x"})
        text = {"corpus_id": "x", "document_id": "x", "text": "x"}
        await app.call("POST", "/v1/documents/text", key, json=text)
        made = await app.call("POST", "/v1/admin/identity/scim/token/create", key)
        # As ``serve`` does, so that a collection does not look through all that a boot made.
        gc.collect()
        gc.freeze()
        return cls(app, key, made.data["token"])

    def headers(self, route: AnyRoute) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.scim if route.name.startswith('scim.') else self.key}"}

    async def send(self, route: AnyRoute, what: str, url: str, **more: Any) -> None:
        headers = {**self.headers(route), **more.pop("headers", {})}
        try:
            async with self.app.session.request(
                route.method,
                URL(self.app.base + url, encoded=True),
                headers=headers,
                allow_redirects=False,
                **more,
            ) as response:
                size = 0
                text = await response.content.read(400)
                size = len(text)
                async for chunk in response.content.iter_any():
                    size += len(chunk)
        except aiohttp.ClientError as error:
            self.faults.append(f"{route.name} {what}: {error!r}")
            return
        self.statuses[response.status] += 1
        if response.status >= 500 and response.status != 501:
            self.faults.append(f"{route.name} {what}: {response.status} {text[:300]!r}")
        if response.status >= 400 and size > LONGEST_ANSWER:
            self.faults.append(f"{route.name} {what}: an answer of {size} bytes")

    async def large_body(self, route: AnyRoute, raw: bytes) -> float:
        """The longest turn of the loop meanwhile. The client is a thread: what it does itself must not count."""
        busy = [0.0]
        async with watched(busy):
            status, size = await asyncio.to_thread(self._post, route, raw)
        self.statuses[status] += 1
        if status >= 500 and status != 501:
            self.faults.append(f"{route.name} {raw[:60]!r} of {len(raw)}: {status}")
        if status >= 400 and size > LONGEST_ANSWER:
            self.faults.append(f"{route.name} {raw[:60]!r} of {len(raw)}: an answer of {size} bytes")
        return max(busy)

    def _post(self, route: AnyRoute, raw: bytes) -> tuple[int, int]:
        address = urlsplit(self.app.base)
        link = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
        headers = {**self.headers(route), "Content-Type": "application/json"}
        try:
            link.request(route.method, path_of(route, "x"), body=raw, headers=headers)
            answer = link.getresponse()
            return answer.status, len(answer.read())
        finally:
            link.close()

    async def body(self, route: AnyRoute, raw: bytes, what: str, **headers: str) -> None:
        media = "application/x-www-form-urlencoded" if route.body_kind == "form" else "application/json"
        await self.send(
            route, what, path_of(route, "x"), data=raw, headers={"Content-Type": media, **headers}
        )


@asynccontextmanager
async def watched(busy: list[float]) -> AsyncIterator[None]:
    """A probe beside the attack: how long the loop worked between two of its turns, in seconds of processor time."""

    async def probe() -> None:
        since = time.thread_time()
        while True:
            await asyncio.sleep(0.002)
            busy.append(time.thread_time() - since)
            since = time.thread_time()

    task = asyncio.create_task(probe())
    try:
        yield
    finally:
        task.cancel()


def path_of(route: AnyRoute, segment: str) -> str:
    return "/".join(
        segment + part.partition("}")[2] if "{" in part else part for part in route.path.split("/")
    )


def chosen(values: Iterator[Any], some: random.Random, count: int) -> list[Any]:
    found = list(values)
    return found if len(found) <= count else some.sample(found, count)


def with_body(app: Running) -> list[AnyRoute]:
    return [route for route in app.platform.routes if route.body_kind != "none"]


# Slow: sends each hostile input to every route.
async def test_no_small_input_is_the_servers_fault(platform: Start) -> None:
    some = random.Random(SEED)
    async with platform(**ASSEMBLY) as app:
        attack = await Attack.on(app)
        for route in app.platform.routes:
            for segment in chosen(iter(SEGMENTS), some, PATHS) if "{" in route.path else ():
                await attack.send(route, f"path {segment[:40]}", path_of(route, segment))
            for query in chosen(queries(route, some, QUERIES), some, QUERIES):
                await attack.send(route, f"query {query[:60]}", f"{path_of(route, 'x')}?{query}")
            if route.body_kind in ("json", "optional_json"):
                for raw in chosen(bodies(route, list(small_values())), some, BODIES):
                    await attack.body(route, raw, f"body {raw[:200]!r}")
    print(sorted(attack.statuses.items()))
    assert not attack.faults, "\n".join(attack.faults[:40])


async def test_no_large_body_holds_up_others_or_is_answered_at_length(platform: Start) -> None:
    some = random.Random(SEED)
    async with platform(**ASSEMBLY) as app:
        attack = await Attack.on(app)
        for route in app.platform.routes:
            if route.body_kind not in ("json", "optional_json"):
                continue
            limit = limit_of(route, app.platform.assembly.kernel.max_request_bytes)
            sent = itertools.chain(*(bodies(route, [value]) for value in large_values(limit - 1_000)))
            for raw in chosen(sent, some, LARGE):
                longest = await attack.large_body(route, raw)
                # What is slow is slow again; what a busy machine made slow is not.
                for _ in range(3 if longest > LONGEST_TURN_S else 0):
                    longest = min(longest, await attack.large_body(route, raw))
                if longest > LONGEST_TURN_S:
                    attack.faults.append(
                        f"{route.name} {raw[:60]!r} of {len(raw)}: kept the loop {longest:.3f} s"
                    )
    print(sorted(attack.statuses.items()))
    assert not attack.faults, "\n".join(attack.faults[:60])


def lists_in(kind: Any, seen: set[Any]) -> Iterator["attrs.Attribute[Any]"]:
    """Fields that take a list, in ``kind`` and in the classes within."""
    if kind in seen or not (isinstance(kind, type) and attrs.has(kind)):
        return
    seen.add(kind)
    for field, hint in fields_of(kind):
        if bounds.is_list(field.type):
            yield field
        for inner in [
            hint,
            *typing.get_args(hint),
            *(a for o in typing.get_args(hint) for a in typing.get_args(o)),
        ]:
            yield from lists_in(inner, seen)


async def test_every_list_that_a_route_takes_has_a_bound(platform: Start) -> None:
    async with platform(**ASSEMBLY) as app:
        seen: set[Any] = set()
        found = [
            (route.name, field.name, field.metadata.get(SCHEMA, {}).get("maxItems"))
            for route in app.platform.routes
            for kind in (route.body, route.query)
            for field in lists_in(kind, seen)
        ]
    assert len(found) > 5
    assert not [(name, field) for name, field, most in found if most is None]
