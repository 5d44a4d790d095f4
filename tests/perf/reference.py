"""The yardstick: bare aiohttp on uvloop with the same answers and no work behind them.

``python tests/perf/reference.py PORT [DSN TENANT]`` serves JSON at GET /v1/corpora and a stream of 43 events at POST
/v1/run; with a database, GET /v1/tenant/corpora too, which reads the product's own table in a transaction bound to the
tenant.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence

import asyncpg
import uvloop
from aiohttp import web

TOKENS = 40


async def corpora(_request: web.Request) -> web.Response:
    row = {
        "id": "c1",
        "tenant_id": "t1",
        "name": "c1",
        "provider_config_json": {},
        "created_at": "2026-01-01T00:00:00+00:00",
    }
    return web.json_response({"data": [row], "meta": {"request_id": "r", "api_version": "v1"}})


async def tenants_corpora(dsn: str, tenant: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    """What a read must do at least where row level security holds it to a tenant."""
    pool = await asyncpg.create_pool(dsn, min_size=8, max_size=8)

    async def answer(_request: web.Request) -> web.Response:
        async with pool.acquire() as connection:
            await connection.execute(f"BEGIN READ ONLY; SET LOCAL ragwork.tenant = '{tenant}'")
            rows = await connection.fetch(
                "SELECT id, name, provider_config, created_at FROM documents.corpora ORDER BY id LIMIT 100"
            )
            await connection.execute("COMMIT")
        data = [{"id": r["id"], "name": r["name"], "created_at": r["created_at"].isoformat()} for r in rows]
        return web.Response(body=json.dumps({"data": data}, separators=(",", ":")).encode())

    return answer


async def run(request: web.Request) -> web.StreamResponse:
    await request.json()
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    frames = [("request.accepted", {}), *(("token.delta", {"delta": f"tok{i} "}) for i in range(TOKENS))]
    frames += [("message.final", {"text": "x", "citations": []}), ("done", {})]
    for seq, (kind, data) in enumerate(frames, start=1):
        payload = {"type": kind, "request_id": "r", "session_id": "s", "data": data, "seq": seq}
        text = f"event: message\nid: {seq}\ndata: {json.dumps(payload, separators=(',', ':'))}\n\n"
        await response.write(text.encode())
    await response.write_eof()
    return response


async def serve(port: int, database: Sequence[str]) -> None:
    app = web.Application()
    app.router.add_get("/v1/corpora", corpora)
    app.router.add_post("/v1/run", run)
    if database:
        app.router.add_get("/v1/tenant/corpora", await tenants_corpora(*database))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=512).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2:]))
