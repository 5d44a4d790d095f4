"""The fakes keep the contracts and are what performance runs need: the same every time, and counted."""

import asyncio
import time

import pytest
from ragwork_fake.config import FakeConfig
from ragwork_fake.model import FakeModel
from ragwork_fake.model import provider as llm_provider
from ragwork_fake.voice import FakeVoice
from ragwork_fake.voice import provider as tts_provider
from ragwork_hooks.llm import ChatModel
from ragwork_hooks.providers import ProviderContext
from ragwork_hooks.speech import SpeechSynthesizer
from ragwork_testkit.llm import ChatModelContract, collect, passages, request, text_of
from ragwork_testkit.mp3 import count_frames
from ragwork_testkit.speech import SpeechSynthesizerContract


class TestFakeModelContract(ChatModelContract):
    async def make(self) -> ChatModel:
        return FakeModel(FakeConfig())


class TestFakeVoiceContract(SpeechSynthesizerContract):
    async def make(self) -> SpeechSynthesizer:
        return FakeVoice()


@pytest.mark.parametrize(
    ("contract", "test"),
    [(ChatModelContract, "test_usage_comes_once_and_last"), (SpeechSynthesizerContract, "test_many_at_once")],
)
def test_a_subclass_cannot_replace_a_test_of_its_contract(contract, test):
    with pytest.raises(TypeError, match=test):
        type("Cheat", (contract,), {test: lambda self: None})


async def test_forty_tokens_and_the_usage_by_default():
    deltas = await collect(FakeModel(FakeConfig()), request("Anything?", passages(2)))
    assert len(deltas) == 41
    assert deltas[-1].usage.output_tokens == 40
    assert [d.cites[0].passage for d in deltas if d.cites] == [1]
    assert text_of(deltas).endswith("[1]")


async def test_the_answer_depends_on_the_question_alone():
    model, other = FakeModel(FakeConfig()), FakeModel(FakeConfig())
    first = await collect(model, request("A?", passages(1)))
    assert text_of(first) == text_of(await collect(other, request("A?", passages(1))))
    assert text_of(first) != text_of(await collect(model, request("B?", passages(1))))


async def test_tokens_and_delay_follow_the_settings():
    model = FakeModel(FakeConfig(tokens=5, token_delay_ms=10))
    started = time.monotonic()
    deltas = await collect(model, request("A?"))
    assert len(deltas) == 6
    assert time.monotonic() - started >= 0.05


async def test_the_providers_open_under_their_name():
    context = ProviderContext(services=None, config=FakeConfig(tokens=3))
    model, voice = await asyncio.gather(llm_provider.open(context), tts_provider.open(context))
    assert (model.name, voice.name) == ("fake", "fake") == (llm_provider.name, tts_provider.name)
    assert len(await collect(model, request("A?"))) == 4


async def test_the_voice_speaks_whole_frames_and_the_same_each_time():
    first, second = await FakeVoice().synthesize("one"), await FakeVoice().synthesize("two words")
    assert first == second
    assert count_frames(first.data) == 8
