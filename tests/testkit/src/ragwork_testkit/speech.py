"""What every voice must do. Subclass ``SpeechSynthesizerContract`` in a test module and supply ``make``."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.tts import Audio, SpeechSynthesizer

from ragwork_testkit.llm import HOSTILE_TEXTS
from ragwork_testkit.mp3 import count_frames
from ragwork_testkit.sealed import Sealed


def _is_mp3(data: bytes) -> bool:
    return data.startswith(b"ID3") or count_frames(data) > 0


def _is_wav(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WAVE"


#: How audio of each type begins.
READERS: Mapping[str, Callable[[bytes], bool]] = {
    "audio/mpeg": _is_mp3,
    "audio/wav": _is_wav,
    "audio/ogg": lambda data: data.startswith(b"OggS"),
    "audio/flac": lambda data: data.startswith(b"fLaC"),
}


def check_audio(audio: Audio) -> None:
    """Not empty, of a type that is known, and what its type says."""
    assert audio.data
    assert audio.mime in READERS
    assert READERS[audio.mime](audio.data)


async def _outcome(voice: SpeechSynthesizer, text: str) -> Audio | ProviderError:
    """Audio that was checked, or the one error that may come of a text."""
    try:
        audio = await voice.synthesize(text)
    except ProviderError as error:
        if error.code != "TTS_ERROR":
            raise
        return error
    check_audio(audio)
    return audio


class SpeechSynthesizerContract(Sealed):
    """The contract of kind ``tts``. A text without a word gives valid audio or ``TTS_ERROR``."""

    async def make(self) -> SpeechSynthesizer:
        raise NotImplementedError

    @pytest.fixture
    async def voice(self) -> AsyncIterator[SpeechSynthesizer]:
        made = await self.make()
        yield made
        await made.aclose()

    async def test_it_has_a_name(self, voice: SpeechSynthesizer) -> None:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", voice.name)

    async def test_a_sentence_becomes_audio_of_its_type(self, voice: SpeechSynthesizer) -> None:
        check_audio(await voice.synthesize("The pump is serviced every three weeks."))

    @pytest.mark.parametrize("text", ["", "   \n\t"])
    async def test_a_text_without_a_word_is_silence_or_a_typed_error(
        self, voice: SpeechSynthesizer, text: str
    ) -> None:
        outcome = await _outcome(voice, text)
        if isinstance(outcome, ProviderError):
            assert not outcome.retryable

    async def test_a_long_text_is_spoken(self, voice: SpeechSynthesizer) -> None:
        check_audio(await voice.synthesize("The pump is serviced every three weeks. " * 500))

    @pytest.mark.parametrize("hostile", HOSTILE_TEXTS, ids=range(len(HOSTILE_TEXTS)))
    async def test_hostile_text_is_spoken_or_a_typed_error(
        self, voice: SpeechSynthesizer, hostile: str
    ) -> None:
        await _outcome(voice, hostile)

    async def test_many_at_once(self, voice: SpeechSynthesizer) -> None:
        for audio in await asyncio.gather(*(voice.synthesize(f"Pump {n}.") for n in range(20))):
            check_audio(audio)

    async def test_closing_twice_is_fine(self) -> None:
        made = await self.make()
        await made.aclose()
        await made.aclose()
