"""What every speech recognizer must do. Subclass ``SpeechRecognizerContract`` and supply ``make`` and ``sample``."""

import asyncio
import re
from collections.abc import AsyncIterator

import attrs
import pytest
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.tts import Audio, SpeechRecognizer

from ragwork_testkit.sealed import Sealed


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


class SpeechRecognizerContract(Sealed):
    """The contract of kind ``asr``. What is no sound is ``ProviderError``, never another exception."""

    async def make(self) -> SpeechRecognizer:
        raise NotImplementedError

    def sample(self) -> tuple[Audio, str]:
        """A recording that must be understood, and its words."""
        raise NotImplementedError

    @pytest.fixture
    async def recognizer(self) -> AsyncIterator[SpeechRecognizer]:
        made = await self.make()
        yield made
        await made.aclose()

    async def test_it_has_a_name(self, recognizer: SpeechRecognizer) -> None:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", recognizer.name)

    async def test_it_understands_its_sample(self, recognizer: SpeechRecognizer) -> None:
        audio, words = self.sample()
        assert _plain(await recognizer.recognize(audio)) == _plain(words)

    async def test_phrases_don_t_mislead_it(self, recognizer: SpeechRecognizer) -> None:
        audio, words = self.sample()
        heard = await recognizer.recognize(audio, ("something else entirely", words))
        assert _plain(heard) == _plain(words)

    @pytest.mark.parametrize("kind", ["empty", "text", "zeros", "headless", "truncated", "unknown type"])
    async def test_what_is_no_sound_is_a_typed_error_or_heard_as_little(
        self, recognizer: SpeechRecognizer, kind: str
    ) -> None:
        audio, _ = self.sample()
        broken = {
            "empty": attrs.evolve(audio, data=b""),
            "text": attrs.evolve(audio, data=b"this is not a recording"),
            "zeros": attrs.evolve(audio, data=bytes(10_000)),
            "headless": attrs.evolve(audio, data=audio.data[8:]),
            "truncated": attrs.evolve(audio, data=audio.data[: len(audio.data) // 3]),
            "unknown type": Audio(data=b"\x00\x01", mime="application/x-unknown"),
        }[kind]
        try:
            outcome: str | ProviderError = await recognizer.recognize(broken)
        except ProviderError as error:
            outcome = error
        assert isinstance(outcome, str) or not outcome.retryable

    async def test_many_at_once_are_told_apart(self, recognizer: SpeechRecognizer) -> None:
        audio, words = self.sample()
        heard = await asyncio.gather(*(recognizer.recognize(audio) for _ in range(8)))
        assert {_plain(text) for text in heard} == {_plain(words)}

    async def test_it_understands_again_after_an_error(self, recognizer: SpeechRecognizer) -> None:
        audio, words = self.sample()
        with pytest.raises(ProviderError):
            await recognizer.recognize(attrs.evolve(audio, data=b"this is not a recording"))
        assert _plain(await recognizer.recognize(audio)) == _plain(words)

    async def test_closing_twice_is_fine(self) -> None:
        made = await self.make()
        await made.aclose()
        await made.aclose()
