"""Deprovisioning reaches what is running: a stream under way ends within a second, on whichever server it is."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from ragwork_testkit.platform import DEFAULT_PLUGINS

PLUGINS = (*DEFAULT_PLUGINS, "scim")


async def test_a_running_answer_ends_within_a_second_of_active_false(platform: Callable[..., Any]) -> None:
    settings = {"FAKE_TOKENS": "1000", "FAKE_TOKEN_DELAY_MS": "20"}
    async with platform(plugins=PLUGINS, settings=settings) as near:
        async with platform(plugins=PLUGINS, settings=settings, database_url=near.database_url) as far:
            admin = await near.key("t1")
            made = await near.call("POST", "/v1/admin/identity/scim/token/create", admin)
            token = made.data["token"]
            user = (await near.call("POST", "/v1/scim/v2/Users", token, json={"userName": "ann"})).body
            key = await near.key("t1", "reader", user=user["id"])
            corpus = await near.call("POST", "/v1/corpora", admin, json={"id": "notes", "name": "notes"})
            assert corpus.status in (200, 201), corpus.text
            ask = {
                "session_id": "s1",
                "corpus_id": "notes",
                "message": "hello",
                "top_k": 1,
                "audio": False,
            }
            events: list[Any] = []

            async def listen() -> float:
                async for event in far.stream("/v1/run", key, ask):
                    events.append(event)  # noqa: PERF401  # seen while they arrive
                return time.perf_counter()

            listening = asyncio.create_task(listen())
            while not any(event.type == "token.delta" for event in events):
                assert not listening.done(), [event.payload for event in events]
                await asyncio.sleep(0.01)
            path, started = f"/v1/scim/v2/Users/{user['id']}", time.perf_counter()
            body = {
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                "Operations": [{"op": "Replace", "path": "active", "value": "False"}],
            }
            assert (await near.call("PATCH", path, token, json=body)).status == 200
            assert await asyncio.wait_for(listening, 5) - started < 1
            assert [event.type for event in events[-2:]] == ["error", "done"]
            for where in (near, far):
                assert (await where.call("POST", "/v1/run", key, json=ask)).status == 401
