"""Speech: synthesis and recognition."""

from collections.abc import Sequence
from typing import Protocol

import attrs


@attrs.frozen(kw_only=True)
class Audio:
    """Encoded sound; ``mime`` names the encoding (``audio/mpeg``, ``audio/wav``)."""

    data: bytes
    mime: str


class SpeechSynthesizer(Protocol):
    """Provider of kind ``tts``."""

    @property
    def name(self) -> str: ...

    async def synthesize(self, text: str) -> Audio:
        """Speech of ``text``. Raises ``ProviderError`` TTS_CONFIG_MISSING, TTS_AUTH_ERROR or TTS_ERROR."""

    async def aclose(self) -> None: ...


class SpeechRecognizer(Protocol):
    """Provider of kind ``asr``."""

    @property
    def name(self) -> str: ...

    async def recognize(self, audio: Audio, phrases: Sequence[str] = ()) -> str:
        """The words; ``phrases`` narrows what is listened for where the engine can."""

    async def aclose(self) -> None: ...
