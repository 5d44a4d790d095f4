"""What every voice and every recognizer must do. Subclass ``SpeechSynthesizerContract`` and supply ``make``, or
``SpeechRecognizerContract`` and supply ``make`` and ``speak``.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import ClassVar

import pytest
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.provider_kinds import ASR, TTS
from ragwork_hooks.speech import Audio, SpeechRecognizer, SpeechSynthesizer

from ragwork_testkit.contract import ProviderContract
from ragwork_testkit.contract_base import unsupported
from ragwork_testkit.llm import HOSTILE_TEXTS
from ragwork_testkit.mp3 import count_frames
from ragwork_testkit.wav import DAMAGED, silent


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


class SpeechSynthesizerContract(ProviderContract):
    """The contract of kind ``tts``. A text without a word gives valid audio or ``TTS_ERROR``."""

    kind = TTS

    async def make(self) -> SpeechSynthesizer:
        voice: SpeechSynthesizer = await super().make()
        return voice

    @pytest.fixture
    async def voice(self) -> AsyncIterator[SpeechSynthesizer]:
        async with self._live() as made:
            yield made

    async def _use(self, made: SpeechSynthesizer, root: str = "") -> object:
        return await made.synthesize("The pump is serviced every three weeks.")

    async def test_it_has_a_name(self, voice: SpeechSynthesizer) -> None:
        """A name is lower case letters, digits and underscores, a letter first: set `name` to that of the
        entry point.
        """
        assert re.fullmatch(r"[a-z][a-z0-9_]*", voice.name)

    async def test_a_sentence_becomes_audio_of_its_type(self, voice: SpeechSynthesizer) -> None:
        """A sentence becomes audio of the type it says: return bytes that begin as `mime` wants, one of
        audio/mpeg, audio/wav, audio/ogg, audio/flac.
        """
        check_audio(await voice.synthesize("The pump is serviced every three weeks."))

    @pytest.mark.parametrize("text", ["", "   \n\t"])
    async def test_a_text_without_a_word_is_silence_or_a_typed_error(
        self, voice: SpeechSynthesizer, text: str
    ) -> None:
        """A text without a word is silence or TTS_ERROR for good: check for a blank text before the service is
        asked.
        """
        outcome = await _outcome(voice, text)
        if isinstance(outcome, ProviderError):
            assert not outcome.retryable

    async def test_a_long_text_is_spoken(self, voice: SpeechSynthesizer) -> None:
        """A long text is spoken: cut it into pieces that the service takes and join the audio."""
        check_audio(await voice.synthesize("The pump is serviced every three weeks. " * 500))

    @pytest.mark.parametrize("hostile", HOSTILE_TEXTS, ids=range(len(HOSTILE_TEXTS)))
    async def test_hostile_text_is_spoken_or_a_typed_error(
        self, voice: SpeechSynthesizer, hostile: str
    ) -> None:
        """Any text is spoken or refused with TTS_ERROR: replace unpaired surrogates, pass text as data, never
        as a command or markup.
        """
        await _outcome(voice, hostile)

    async def test_many_at_once(self, voice: SpeechSynthesizer) -> None:
        """Many texts at once are each spoken: keep what belongs to a call in its own variables."""
        for audio in await asyncio.gather(*(voice.synthesize(f"Pump {n}.") for n in range(20))):
            check_audio(audio)

    async def test_closing_twice_is_fine(self) -> None:
        """`aclose` can be called twice: let the second call do nothing."""
        async with self._live() as made:
            await made.aclose()


#: What is said, and the word by which one knows that it was heard.
PHRASES: Mapping[str, str] = {
    "Show me the refund policy.": "refund",
    "How do I reset my password?": "password",
    "Open the last document.": "document",
    "How many users are active?": "users",
}
_GARBAGE: Mapping[str, Audio] = {
    "nothing": Audio(data=b"", mime="audio/wav"),
    "text": Audio(data=b"<html>no sound here</html>" * 50, mime="audio/wav"),
    "noise": Audio(data=bytes(n * n * 31 % 251 for n in range(5_000)), mime="audio/wav"),
    "four bytes": Audio(data=b"RIFF", mime="audio/wav"),
    "not audio by its type": Audio(data=silent(1), mime="application/pdf"),
    "a hostile type": Audio(data=silent(1), mime='audio/wav"\r\nX-Injected: 1'),
}


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


async def _hearing(ears: SpeechRecognizer, audio: Audio, phrases: Sequence[str] = ()) -> str | ProviderError:
    """Text, or the one error that may come of a sound."""
    try:
        return await ears.recognize(audio, phrases)
    except ProviderError as error:
        if error.code != "ASR_ERROR":
            raise
        return error


class SpeechRecognizerContract(ProviderContract):
    """The contract of kind ``asr``. ``make`` gives a fresh recognizer, ``speak`` speech that it can take.

    Flag: ``phrases``, it takes what to listen for; else a call with phrases raises ``NotSupported``.
    """

    kind = ASR
    phrases: ClassVar[bool] = True

    async def make(self) -> SpeechRecognizer:
        recognizer: SpeechRecognizer = await super().make()
        return recognizer

    async def speak(self, text: str) -> Audio:
        raise NotImplementedError

    @pytest.fixture
    async def ears(self) -> AsyncIterator[SpeechRecognizer]:
        async with self._live() as made:
            yield made

    async def _use(self, made: SpeechRecognizer, root: str = "") -> object:
        return await made.recognize(await self.speak("Show me the refund policy."), self._expected())

    async def test_it_has_a_name(self, ears: SpeechRecognizer) -> None:
        """A name is lower case letters, digits and underscores, a letter first: set `name` to that of the
        entry point.
        """
        assert re.fullmatch(r"[a-z][a-z0-9_]*", ears.name)

    @pytest.mark.parametrize(("said", "keyword"), PHRASES.items(), ids=PHRASES.values())
    async def test_what_is_said_is_heard(self, ears: SpeechRecognizer, said: str, keyword: str) -> None:
        """What is said is heard: return the words of the audio, in order."""
        assert keyword in _words(await ears.recognize(await self.speak(said), self._expected()))

    async def test_speech_without_expected_phrases_is_heard_as_words(self, ears: SpeechRecognizer) -> None:
        """Speech is heard as words without phrases too: take `phrases` as a help that may be missing."""
        assert _words(await ears.recognize(await self.speak("How do I reset my password?")))

    @pytest.mark.parametrize("with_phrases", [False, True], ids=["free", "phrases"])
    async def test_silence_is_a_text_or_a_typed_error(
        self, ears: SpeechRecognizer, with_phrases: bool
    ) -> None:
        """Silence is a text or ASR_ERROR: return an empty text when nothing was said."""
        phrases = self._expected() if with_phrases else ()
        await _hearing(ears, Audio(data=silent(1), mime="audio/wav"), phrases)

    @pytest.mark.parametrize("garbage", _GARBAGE.values(), ids=_GARBAGE)
    async def test_garbage_is_refused_for_good(self, ears: SpeechRecognizer, garbage: Audio) -> None:
        """What is no audio is refused with ASR_ERROR, not to be retried: check `mime` and the header before
        the service is asked.
        """
        with pytest.raises(ProviderError) as caught:
            await ears.recognize(garbage)
        assert (caught.value.code, caught.value.retryable) == ("ASR_ERROR", False)

    @pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
    async def test_a_damaged_file_is_a_text_or_a_typed_error(
        self, ears: SpeechRecognizer, data: bytes
    ) -> None:
        """A damaged file is heard as far as it goes or refused with ASR_ERROR: check every length that the
        file states.
        """
        await _hearing(ears, Audio(data=data, mime="audio/wav"), self._expected())

    @pytest.mark.parametrize("hostile", HOSTILE_TEXTS, ids=range(len(HOSTILE_TEXTS)))
    async def test_hostile_phrases_do_no_harm(self, ears: SpeechRecognizer, hostile: str) -> None:
        """Phrases are data: quote them for the engine, or say `phrases = False` on the test class and raise
        NotSupported.
        """
        speech = await self.speak("Show me the refund policy.")
        if not self.phrases:
            await unsupported(ears.recognize(speech, (hostile,)))
            return
        heard = await ears.recognize(speech, (hostile, *PHRASES))
        assert "refund" in _words(heard)

    async def test_it_hears_after_what_it_refused(self, ears: SpeechRecognizer) -> None:
        """A recognizer hears after what it refused: leave no half-read state behind a refusal."""
        await _hearing(ears, _GARBAGE["noise"])
        await _hearing(ears, Audio(data=DAMAGED["cut in the sound"], mime="audio/wav"))
        heard = await ears.recognize(await self.speak("Show me the refund policy."), self._expected())
        assert "refund" in _words(heard)

    async def test_a_cancelled_call_ends_at_once_and_harms_no_other(self, ears: SpeechRecognizer) -> None:
        """A cancelled call ends at once and harms no other: let CancelledError pass, and keep what belongs to
        a call in its own variables.
        """
        audio = await self.speak("Show me the refund policy.")
        other = asyncio.create_task(ears.recognize(audio, self._expected()))
        cancelled = asyncio.create_task(ears.recognize(audio))
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(cancelled, 1.0)
        assert "refund" in _words(await other)

    async def test_eight_at_once_do_not_mix(self, ears: SpeechRecognizer) -> None:
        """Recordings at the same time do not mix: keep what belongs to a call in its own variables."""
        sounds = [await self.speak(said) for said in [*PHRASES] * 2]
        alone = [await ears.recognize(sound, self._expected()) for sound in sounds]
        together = await asyncio.gather(*(ears.recognize(sound, self._expected()) for sound in sounds))
        assert together == alone
        assert len(set(alone)) == len(PHRASES)

    async def test_closing_twice_is_fine(self) -> None:
        """`aclose` can be called twice: let the second call do nothing."""
        async with self._live() as made:
            await made.aclose()

    def _expected(self) -> tuple[str, ...]:
        return tuple(PHRASES) if self.phrases else ()
