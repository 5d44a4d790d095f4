"""What the service said once it says again from a cassette: no server, the same answer, vectors, speech and words."""

from ragwork_hooks.errors import ProviderError
from ragwork_hooks.providers import ProviderContext
from ragwork_hooks.speech import Audio
from ragwork_openai import chat, embedding, speech, transcription
from ragwork_openai.config import OpenAIConfig
from ragwork_testkit import openai_server
from ragwork_testkit.llm import collect, passages, request
from ragwork_testkit.recording import recording, replaying
from ragwork_testkit.wav import silent

CANARY = "canary-of-the-prompt"


async def conversation(address, key=openai_server.KEY):
    context = ProviderContext(services=None, config=OpenAIConfig(api_key=key, base_url=address))
    opened = [await each.provider.open(context) for each in (chat, embedding, speech, transcription)]
    model, embedder, voice, ears = opened
    try:
        said = [
            await collect(model, request(f"How often, {CANARY}?", passages(2))),
            await embedder.embed(["tide", "bread"], "document"),
            await voice.synthesize("Hello there."),
            await ears.recognize(Audio(data=silent(1), mime="audio/wav"), ("hello",)),
        ]
        try:
            await collect(model, request("Too busy?"))
        except ProviderError as error:
            said.append((error.code, error.retry_after_s))
        return repr(said).encode()
    finally:
        for each in opened:
            await each.aclose()


async def test_the_same_bytes_without_the_server(tmp_path):
    tape = tmp_path / "openai.jsonl"
    async with openai_server.serving() as server:
        async with recording(tape, server.base_url, secrets=[CANARY]) as address:
            for _ in range(4):
                server.fail("floats")  # means nothing to chat and speech, and numbers can be read on the tape
            server.fail("status", status=429, code="rate_limit_exceeded", retry_after="7")
            heard = await conversation(address)
    written = tape.read_text()
    assert len(written.splitlines()) == 5
    assert b"('INTEGRATION_UNAVAILABLE', 7.0)" in heard
    assert CANARY not in written
    assert openai_server.KEY not in written
    async with replaying(tape, secrets=[CANARY]) as replay:
        again = await conversation(replay.base_url, key="sk-another-key-of-another-run")
        assert replay.left == 0
    # The service repeats its question in words, and a word may end in two pieces of its stream.
    assert again == heard.replace(CANARY.encode(), b"x" * len(CANARY))
