"""``make demo`` and ``make serve``: the product's own documents in, a cited answer out, over the real HTTP API.

Everything here goes through the command line and the API, as an operator and a client would.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from tqdm import tqdm

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("RAGWORK_DATA_DIR") or ROOT / "var" / "demo")
RAGWORK = str(Path(sys.executable).parent / "ragwork")
TENANT, CORPUS = "demo", "docs"
QUESTION = "How does Ragwork keep one tenant's rows apart from another's?"
CONCURRENT_UPLOADS = 4
#: The demonstration uploads and asks for progress faster than a client may by default.
UNHURRIED = {
    f"RL_{whose}_{kind}_{what}": "1000"
    for whose in ("KEY", "TENANT")
    for kind in ("MUTATION", "READ")
    for what in ("RPS", "BURST")
}


def main() -> int:
    """``run`` demonstrates and leaves nothing running; ``serve`` stays up."""
    action = sys.argv[1] if len(sys.argv) > 1 else "run"
    if action == "serve":
        return serve()
    return asyncio.run(demonstrate())


def serve() -> int:
    """Make an admin key on the first start, show it once, then become ``ragwork serve``."""
    if not (DATA / "admin-key").exists():
        print(f"admin key (shown once, also in {DATA / 'admin-key'}): {_admin_key()}")
    port = os.environ.get("PORT", "8000")
    os.execv(RAGWORK, [RAGWORK, "serve", "--port", port, "--data-dir", str(DATA)])  # noqa: S606


async def demonstrate() -> int:
    """Start, ingest, ask, stop. Exit status 0 when the answer carries citations."""
    print(f"1. Starting Ragwork with embedded Postgres; data in {DATA}")
    started = time.perf_counter()
    key = _admin_key()
    server = subprocess.Popen(
        [RAGWORK, "serve", "--port", "0", "--data-dir", str(DATA), "--json"],
        stdout=subprocess.PIPE,
        stderr=(DATA / "server.log").open("ab"),
        env={**os.environ, **UNHURRIED, "LOG_LEVEL": "WARNING"},
    )
    try:
        base = _announced(server)["url"]
        print(f"   up at {base} after {time.perf_counter() - started:.1f} s")
        async with aiohttp.ClientSession(base, headers={"Authorization": f"Bearer {key}"}) as client:
            await _ingest(client)
            cited = await _ask(client)
    finally:
        server.terminate()
        server.wait(timeout=60)
    print("\nThe server has stopped. Next: `make serve`, then open the docs URL it prints.")
    print(
        f"Or ask here:  {_shown(RAGWORK)} ask --tenant {TENANT} --user demo --corpus {CORPUS} "
        f"--data-dir {_shown(DATA)} 'your question'"
    )
    return 0 if cited else 1


async def _ingest(client: aiohttp.ClientSession) -> None:
    files = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    print(f"2. Ingesting this project's README and docs: {len(files)} files, over POST /v1/documents")
    corpus = {"id": CORPUS, "name": "Ragwork's own documents", "provider_config_json": {}}
    async with client.post("/v1/corpora", json=corpus) as response:
        if response.status not in (201, 409):
            raise SystemExit(f"creating the corpus failed: {await response.text()}")
    gate = asyncio.Semaphore(CONCURRENT_UPLOADS)
    chunks = 0
    with tqdm(total=len(files), desc="   indexed", unit="doc", file=sys.stdout) as bar:

        async def upload(path: Path) -> None:
            nonlocal chunks
            async with gate:
                made = await _upload(client, path)
                chunks += made
                bar.update()

        await asyncio.gather(*(upload(path) for path in files))
    print(f"   {chunks} chunks are searchable")


async def _upload(client: aiohttp.ClientSession, path: Path) -> int:
    """Upload one file and wait until it is indexed; its number of chunks."""
    name = str(path.relative_to(ROOT))
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("corpus_id", CORPUS)
    form.add_field("document_id", name.replace("/", ":"))
    form.add_field("overwrite", "true")
    form.add_field("file", path.read_bytes(), filename=name, content_type="text/markdown")
    async with client.post("/v1/documents", data=form) as response:
        answer = await response.json()
        if response.status != 202:
            raise SystemExit(f"{name} was refused: {answer['error']['message']}")
    while True:
        async with client.get(answer["data"]["status_url"]) as response:
            document = (await response.json())["data"]
        if document["status"] == "succeeded":
            return int(document["num_chunks"] or 0)
        if document["status"] == "failed":
            raise SystemExit(f"{name} failed: {document['failure_reason']}")
        await asyncio.sleep(0.1)


async def _ask(client: aiohttp.ClientSession) -> bool:
    """Ask over POST /v1/run, print the answer as it streams and its citations; whether it had any."""
    print(f"3. Asking over POST /v1/run: {QUESTION}\n")
    run = {"session_id": "demo", "corpus_id": CORPUS, "message": QUESTION}
    citations: list[dict[str, Any]] = []
    async with client.post("/v1/run", json=run) as response:
        async for payload in _events(response):
            if payload["type"] == "token.delta":
                print(payload["data"]["delta"], end="", flush=True)
            elif payload["type"] == "message.final":
                citations = payload["data"]["citations"]
            elif payload["type"] == "error":
                raise SystemExit(f"the run failed: {payload['data']['message']}")
    print("\n")
    for citation in citations:
        quote = " ".join(citation["quote"].split())
        print(f"[{citation['n']}] {citation['document_id']}, passage {citation['chunk_id']}: “{quote[:120]}”")
    return bool(citations)


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    async for raw in response.content:
        if raw.startswith(b"data: "):
            payload = json.loads(raw[6:])
            if "type" in payload:
                yield payload


def _admin_key() -> str:
    """The demo's admin key, made on first use and kept beside its data."""
    path = DATA / "admin-key"
    if path.exists():
        return path.read_text().strip()
    DATA.mkdir(parents=True, exist_ok=True)
    DATA.chmod(0o700)
    words = f"keys create --tenant {TENANT} --role admin --name demo --user demo --platform --json".split()
    made = subprocess.run(
        [RAGWORK, *words, "--data-dir", str(DATA)],
        check=True,
        capture_output=True,
    )
    key = str(json.loads(made.stdout)["key"])
    path.touch(mode=0o600)
    path.write_text(key + "\n")
    return key


def _announced(server: "subprocess.Popen[bytes]") -> Mapping[str, str]:
    """What ``serve --json`` prints once it listens."""
    text = ""
    for line in server.stdout or ():
        text += line.decode()
        if line.startswith(b"}"):
            announced: Mapping[str, str] = json.loads(text)
            return announced
    raise SystemExit(f"the server did not start; see {DATA / 'server.log'}")


def _shown(path: str | Path) -> str:
    """``path`` as a person in the project folder would type it."""
    text = str(path)
    return text.removeprefix(f"{ROOT}/")


if __name__ == "__main__":
    sys.exit(main())
