"""What identity costs: tokens of agents, and people provisioned by SCIM. ``python tests/perf/identity.py``."""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import load
from processes import ragwork

POLICY = 'package oculus.authz\ndefault allow = false\nallow { input.action == "db:read" }'
USERS, PAGE, PATCHES = 2_000, 200, 200
SCIM = {"Accept": "application/scim+json", "Content-Type": "application/scim+json"}


def say(what: str, figure: str, aim: str) -> None:
    print(f"{what:<66} {figure:<40} aim {aim}", flush=True)


async def made(session: aiohttp.ClientSession, path: str, body: Any, **more: Any) -> Any:
    async with session.post(path, json=body, **more) as response:
        answer = await response.json(content_type=None)
        assert response.status < 300, answer
        return answer


async def issue(base: str, key: str) -> None:
    """Client credentials, one client at a time and eight at once."""
    async with aiohttp.ClientSession(base, headers={"Authorization": f"Bearer {key}"}) as session:
        policy = await made(session, "/api/v1/policies", {"name": "reads", "content": POLICY})
        agent = await made(session, "/api/v1/agents", {"name": "bench", "policy_ids": [policy["id"]]})
    form = {
        "grant_type": "client_credentials",
        "client_id": agent["client_id"],
        "client_secret": agent["client_secret"],
        "scope": "db:read",
    }

    token = load.Shot(
        method="POST",
        path="/oauth/token",
        body=urlencode(form).encode(),
        content_type="application/x-www-form-urlencoded",
        holds=b'"access_token"',
    )
    one = await load.measure(base, key, token, 1, 300)
    many = await load.measure(base, key, token, 8, 1500)
    say("token issuance, c=1, p50 / p95", f"{one.p50:.2f} / {one.p95:.2f} ms", "3 ms")
    say("token issuance, c=8", f"{many.rps:.0f} per s", "300 per s")


async def provision(base: str, key: str) -> None:
    """Users made, listed by pages and patched."""
    async with aiohttp.ClientSession(base, headers={"Authorization": f"Bearer {key}"}) as session:
        token = (await made(session, "/v1/admin/identity/scim/token/create", None))["data"]["token"]
    async with aiohttp.ClientSession(base, headers={**SCIM, "Authorization": f"Bearer {token}"}) as session:
        ids: list[str] = []
        schemas = ["urn:ietf:params:scim:schemas:core:2.0:User"]
        numbers = iter(range(USERS))

        async def worker() -> None:
            for n in numbers:
                user = {"schemas": schemas, "userName": f"user{n}", "active": True}
                ids.append((await made(session, "/v1/scim/v2/Users", user))["id"])

        await asyncio.gather(*(worker() for _ in range(8)))
        started = time.perf_counter()
        for start in range(1, USERS + 1, PAGE):
            async with session.get(f"/v1/scim/v2/Users?startIndex={start}&count={PAGE}") as response:
                assert len((await response.json(content_type=None))["Resources"]) == PAGE
        rate = USERS / (time.perf_counter() - started)
        say(f"SCIM, {USERS} users listed by pages of {PAGE}", f"{rate:.0f} users/s", "1,000 users/s")
        took = sorted([await patched(session, user) for user in ids[:PATCHES]])
        figure = f"{took[PATCHES // 2]:.1f} / {took[int(PATCHES * 0.95)]:.1f} ms"
        say("SCIM, PATCH of a user's display name, p50 / p95", figure, "p95 15 ms")


async def patched(session: aiohttp.ClientSession, user_id: str) -> float:
    """Milliseconds of one PATCH."""
    body = {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "displayName", "value": "Someone"}],
    }
    started = time.perf_counter()
    async with session.patch(f"/v1/scim/v2/Users/{user_id}", json=body) as response:
        assert response.status == 200, await response.text()
        await response.read()
    return (time.perf_counter() - started) * 1000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, ragwork(Path(folder) / "d") as server:
        key = server.key("t1")
        asyncio.run(issue(server.base, key))
        asyncio.run(provision(server.base, key))


if __name__ == "__main__":
    main()
