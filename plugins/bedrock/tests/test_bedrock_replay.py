"""What Bedrock said once it says again from a cassette: no server, the same passages and the same answer."""

import pytest
from ragwork_bedrock import chat, retriever
from ragwork_bedrock.config import BedrockConfig
from ragwork_hooks.providers import ProviderContext
from ragwork_hooks.retrieval import Query
from ragwork_testkit import bedrock_server
from ragwork_testkit.bedrock_server import result
from ragwork_testkit.cassette import UnknownRequest
from ragwork_testkit.llm import collect, passages, request
from ragwork_testkit.recording import recording, replaying

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANARY = "canary in the question"


async def conversation(services, address, *texts):
    """The passages and the answer of each question, and the error of a service that throttles."""
    config = BedrockConfig(agent_endpoint_url=address, runtime_endpoint_url=address, model_id="eu.model:0")
    context = ProviderContext(services=services, config=config)
    bases, model = await retriever.provider.open(context), await chat.provider.open(context)
    try:
        said = []
        for text in texts:
            query = Query(
                corpus_id="c", text=f"{text} {CANARY}", top_k=3, embedder="none", filter={"lang": "en"},
                options={"knowledge_base_id": "KB"},
            )  # fmt: skip
            said.append((await bases.prepare("t1", query)).best)
            said.append(await collect(model, request(text, passages(2))))
        return repr(said).encode()
    finally:
        await bases.aclose()
        await model.aclose()


async def test_the_same_bytes_without_the_server(services, tmp_path):
    tape = tmp_path / "bedrock.jsonl"
    async with bedrock_server.serving() as server:
        server.page_size = 2
        server.bases["KB"] = [
            result(f"d{n}", f"gate {n} closes, caf\u00e9", 0.9 - n / 10, lang="en") for n in range(4)
        ]
        async with recording(tape, server.base_url, secrets=[CANARY]) as address:
            heard = await conversation(services, address, "when?", "how often?", "when?")
        asked = len(server.requests)
    written = tape.read_text()
    assert asked == len(written.splitlines()) == 9
    for secret in (CANARY, bedrock_server.ACCESS_KEY_ID, bedrock_server.SECRET_ACCESS_KEY, "AWS4-HMAC"):
        assert secret not in written
    services.secrets.values["AWS_ACCESS_KEY_ID"] = "AKIAANOTHER0123456"
    async with replaying(tape, secrets=[CANARY]) as replay:
        assert await conversation(services, replay.base_url, "when?", "how often?", "when?") == heard
        assert replay.left == 0


async def test_another_question_fails_the_replay(services, tmp_path):
    tape = tmp_path / "bedrock.jsonl"
    async with bedrock_server.serving() as server:
        server.bases["KB"] = [result("d", "gate", 0.9, lang="en")]
        async with recording(tape, server.base_url) as address:
            await conversation(services, address, "when?")

    async def ask_another():
        async with replaying(tape) as replay:
            await conversation(services, replay.base_url, "where?")

    with pytest.raises(UnknownRequest, match="nearest is number 0: POST /knowledgebases/KB/retrieve"):
        await ask_another()
