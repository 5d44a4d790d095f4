"""What Google's services said once they say again from a cassette: no server, the same passages, answer and vectors."""

import json

import pytest
from ragwork_hooks.providers import ProviderContext
from ragwork_hooks.retrieval import Query
from ragwork_testkit import google_server
from ragwork_testkit.google_search import SearchPart
from ragwork_testkit.llm import collect, passages, request
from ragwork_testkit.recording import recording, replaying
from ragwork_vertex import chat, embedding, retriever
from ragwork_vertex.config import VertexConfig

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANARY = "canary in the question"
MODES = {
    "account": {"project": google_server.PROJECT, "location": google_server.LOCATION},
    "key": {
        "project": google_server.PROJECT,
        "location": google_server.LOCATION,
        "api_key": google_server.API_KEY,
    },
}


async def conversation(services, address, account, path, settings):
    """Passages, an answer and vectors. The account's tokens come from ``address`` too."""
    path.write_text(json.dumps({**account, "token_uri": f"{address}/token"}))
    config = VertexConfig(
        **settings,
        credentials_file=str(path),
        gemini_endpoint_url=address,
        search_endpoint_url=address,
    )
    context = ProviderContext(services=services, config=config)
    opened = [await each.provider.open(context) for each in (retriever, chat, embedding)]
    stores, model, embedder = opened
    try:
        query = Query(
            corpus_id="c", text=f"when? {CANARY}", top_k=3, embedder="none", options={"resource_id": "s"}
        )
        said = [
            (await stores.prepare("t1", query)).best,
            await collect(model, request("How often?", passages(2))),
            await embedder.embed(["tide", "bread"], "document"),
        ]
        return repr(said).encode()
    finally:
        for each in opened:
            await each.aclose()


@pytest.mark.parametrize("mode", MODES)
async def test_the_same_bytes_without_the_server(services, tmp_path, mode):
    tape, file = tmp_path / "google.jsonl", tmp_path / "key.json"
    async with google_server.serving() as server:
        account = server.account()
        server.page_size = 2
        server.stores["s"] = [SearchPart(document_id=f"d{n}", text=f"gate {n}, caf\u00e9") for n in range(4)]
        async with recording(tape, server.base_url, secrets=[CANARY]) as address:
            heard = await conversation(services, address, account, file, MODES[mode])
        asked, exchanges = len(server.requests), server.tokens.exchanges
    written = tape.read_text()
    assert len(written.splitlines()) == asked + exchanges
    for secret in (CANARY, google_server.API_KEY, "ya29.", "eyJ"):
        assert secret not in written
    async with replaying(tape, secrets=[CANARY]) as replay:
        again = await conversation(services, replay.base_url, account, file, MODES[mode])
        assert again == heard
        assert replay.left == 0
