"""The recognizer ``openai`` keeps the contract against a server that says what a WAV file's comment says."""

import pytest
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.providers import ProviderContext
from ragwork_hooks.speech import Audio
from ragwork_openai import transcription
from ragwork_openai.config import OpenAIConfig
from ragwork_testkit import openai_server
from ragwork_testkit.speech import SpeechRecognizerContract
from ragwork_testkit.wav import silent


@pytest.fixture
async def server():
    async with openai_server.serving() as running:
        yield running


def opened(server, **more):
    config = OpenAIConfig(api_key=openai_server.KEY, base_url=server.base_url, timeout_s=5, **more)
    return transcription.provider.open(ProviderContext(services=None, config=config))


def said(text):
    return Audio(data=silent(0.1, comment=text), mime="audio/wav")


@pytest.fixture
async def ears(server):
    made = await opened(server)
    yield made
    await made.aclose()


class TestOpenAIRecognizerContract(SpeechRecognizerContract):
    @pytest.fixture(autouse=True)
    def _server(self, server):
        self.server = server

    async def make(self):
        return await opened(self.server)

    async def speak(self, text):
        return said(text)


async def test_the_file_the_model_and_the_phrases_are_sent(ears, server):
    assert await ears.recognize(said(" Hello there. "), ("refund policy", "Agent 2.0")) == "Hello there."
    (recorded,) = server.requests
    assert recorded.path == "/v1/audio/transcriptions"
    assert recorded.body["model"] == "gpt-4o-mini-transcribe"
    assert recorded.body["prompt"] == "refund policy\nAgent 2.0"
    assert recorded.body["file"].filename == "audio.wav"


async def test_another_model_can_be_asked(server):
    made = await opened(server, asr_model="whisper-1")
    await made.recognize(said("Hello."))
    await made.aclose()
    assert server.requests[0].body["model"] == "whisper-1"


async def test_the_prompt_holds_whole_phrases_and_is_bounded(ears, server):
    phrases = [f"phrase number {n}" for n in range(100)]
    await ears.recognize(said("Hello."), ["x" * 5_000, *phrases])
    sent = server.requests[0].body["prompt"].splitlines()
    assert sent == phrases[: len(sent)]
    assert 400 < len("\n".join(sent)) <= 448


@pytest.mark.parametrize(
    "audio",
    [
        Audio(data=b"", mime="audio/wav"),
        Audio(data=bytes(25 * 1024 * 1024 + 1), mime="audio/wav"),
        Audio(data=b"MThd", mime="audio/midi"),
    ],
    ids=["empty", "too long", "of another type"],
)
async def test_what_the_service_would_refuse_is_not_sent(ears, server, audio):
    with pytest.raises(ProviderError) as caught:
        await ears.recognize(audio)
    assert (caught.value.code, caught.value.retryable) == ("ASR_ERROR", False)
    assert not server.requests
