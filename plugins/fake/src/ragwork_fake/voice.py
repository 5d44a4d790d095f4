"""The voice ``fake``: a fifth of a second of silence, as MP3."""

from ragwork_hooks.errors import ProviderError
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_hooks.speech import Audio, SpeechSynthesizer

from ragwork_fake.config import FakeConfig

# Sync word, MPEG-1 Layer III without checksum; 128 kbit/s at 44.1 kHz, no padding; one channel.
_HEADER = bytes((0xFF, 0xFB, 0x90, 0xC0))
# 1152 samples a frame: 144 x 128,000 / 44,100 bytes, rounded down.
_FRAME_BYTES = 417
# About 26 ms each.
_FRAMES = 8


class FakeVoice:
    """Says nothing, whatever the text."""

    name = "fake"

    async def synthesize(self, text: str) -> Audio:
        """The same silent frames for every text: zero side information means no sound.

        Raises ``ProviderError`` TTS_ERROR for a text without a word.
        """
        if not text.strip():
            raise ProviderError("TTS_ERROR", "there is no text to speak")
        frame = _HEADER + bytes(_FRAME_BYTES - len(_HEADER))
        return Audio(data=frame * _FRAMES, mime="audio/mpeg")

    async def aclose(self) -> None:
        """Nothing to release."""


async def _open(_context: ProviderContext[FakeConfig]) -> SpeechSynthesizer:
    return FakeVoice()


provider: Provider[SpeechSynthesizer] = Provider(name="fake", open=_open)
