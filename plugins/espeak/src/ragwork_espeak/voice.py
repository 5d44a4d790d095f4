"""The voice ``espeak``."""

import asyncio
import threading
from functools import partial
from typing import Final

from ragwork_hooks.errors import ProviderError
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_hooks.shares import Shares, provider_busy
from ragwork_hooks.speech import Audio, SpeechSynthesizer
from ragwork_toolkit.worker_threads import WorkerThreads

from ragwork_espeak import engine
from ragwork_espeak.config import EspeakConfig
from ragwork_espeak.encoding import ENCODERS
from ragwork_espeak.text import pieces, speakable

#: Ten minutes. A few thousand pictograms, each read by its name, would otherwise last for hours.
MAX_BYTES: Final = 600 * engine.SAMPLE_RATE * engine.SAMPLE_BYTES

#: Texts that may wait to be spoken.
_WAITING: Final = 100


class EspeakVoice:
    """Speaks in a thread of its own, a piece at a time."""

    name = "espeak"

    def __init__(self, config: EspeakConfig, places: Shares) -> None:
        self._config = config
        self._worker = WorkerThreads("espeak", places)

    async def synthesize(self, text: str) -> Audio:
        """Speech of ``text``, as far as ``text.MAX_CHARS`` and ten minutes go. A cancelled call stops the work.

        Raises ``ProviderError`` TTS_ERROR (also for a text without a character to speak) or TTS_CONFIG_MISSING.
        """
        words = speakable(text)
        if not words:
            raise ProviderError("TTS_ERROR", "there is no text to speak")
        stop = threading.Event()
        try:
            return await self._worker.run(partial(self._make, words, stop))
        finally:
            stop.set()

    async def aclose(self) -> None:
        """Wait for what is being spoken, then end the thread."""
        await self._worker.aclose()

    def _make(self, text: str, stop: threading.Event) -> Audio:
        config, spoken = self._config, bytearray()
        for piece in pieces(text):
            pcm = engine.speak(piece, config.voice, config.rate, MAX_BYTES - len(spoken), stop)
            if spoken and len(spoken) + len(pcm) >= MAX_BYTES:
                break  # end with the sentence before
            spoken += pcm
        if not spoken:
            raise ProviderError("TTS_ERROR", "espeak-ng made no sound of the text")
        return ENCODERS[config.format](bytes(spoken))


async def _open(context: ProviderContext[EspeakConfig]) -> SpeechSynthesizer:
    await asyncio.to_thread(engine.check, context.config.voice)
    return EspeakVoice(
        context.config, context.services.shares("voice", 1, waiting=_WAITING, refusal=provider_busy)
    )


provider: Provider[SpeechSynthesizer] = Provider(name="espeak", open=_open)
