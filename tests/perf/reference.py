"""The yardstick: bare aiohttp on uvloop with the same answers and no work behind them.

``python tests/perf/reference.py PORT`` serves JSON at GET /v1/corpora and a stream of 43 events at POST /v1/run.
"""

import json
import sys

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


def main() -> None:
    app = web.Application()
    app.router.add_get("/v1/corpora", corpora)
    app.router.add_post("/v1/run", run)

    async def serve() -> None:
        import asyncio

        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", int(sys.argv[1]), backlog=512).start()
        await asyncio.Event().wait()

    uvloop.run(serve())


if __name__ == "__main__":
    main()
