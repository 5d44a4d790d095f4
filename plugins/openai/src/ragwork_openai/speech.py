"""The voice ``openai``: text to MP3."""

from collections.abc import Iterator

from ragwork_hooks.errors import ProviderError
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_hooks.speech import Audio, SpeechSynthesizer
from ragwork_toolkit.vendor.sendable_text import sendable_text

from ragwork_openai.client import ModelService, connect
from ragwork_openai.config import ServiceConfig, lacking
from ragwork_openai.errors import unavailable

#: The service takes 4,096 characters, its newer models 2,000 tokens; this stays below both.
_PIECE_CHARS = 3_000
#: Half an hour of speech; a piece is a few minutes of it.
_MAX_BYTES = 16 * 1024 * 1024


class OpenAIVoice:
    """Long texts are spoken in pieces: MP3 frames can be joined end to end."""

    name = "openai"

    def __init__(self, service: ModelService, voice: str) -> None:
        self._service = service
        self._voice = voice

    async def synthesize(self, text: str) -> Audio:
        """Speech of ``text``. Raises ``ProviderError`` TTS_AUTH_ERROR, TTS_ERROR (also for a text without
        a word, and when it takes too long) or INTEGRATION_UNAVAILABLE.
        """
        sendable = sendable_text(text).strip()
        if not sendable:
            raise ProviderError("TTS_ERROR", "there is no text to speak")
        spoken = [await self._speak(piece) for piece in _pieces(sendable)]
        return Audio(data=b"".join(spoken), mime="audio/mpeg")

    async def aclose(self) -> None:
        await self._service.aclose()

    async def _speak(self, piece: str) -> bytes:
        with self._service.translated():
            asked = self._service.client.audio.speech.with_streaming_response.create(
                model=self._service.model, voice=self._voice, input=piece, response_format="mp3"
            )
            async with asked as answer:
                data = await self._service.read_whole(answer, _MAX_BYTES)
        if not _is_mp3(data):
            raise unavailable("the service's answer is not MP3")
        return data


def _pieces(text: str) -> Iterator[str]:
    """``text`` cut at the last end of a sentence, else space, that fits."""
    while len(text) > _PIECE_CHARS:
        cut = max(text.rfind(sign, _PIECE_CHARS // 2, _PIECE_CHARS) for sign in (". ", "! ", "? ", "\n")) + 1
        cut = cut or text.rfind(" ", _PIECE_CHARS // 2, _PIECE_CHARS) + 1 or _PIECE_CHARS
        yield text[:cut]
        text = text[cut:].lstrip()
    if text:
        yield text


def _is_mp3(data: bytes) -> bool:
    """An ID3 tag or a frame's sync word in front."""
    return data[:3] == b"ID3" or (len(data) > 3 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0)


def _ready(config: ServiceConfig) -> str | None:
    return lacking(config, "tts_model")


async def _open(context: ProviderContext[ServiceConfig]) -> SpeechSynthesizer:
    config = context.config
    return OpenAIVoice(await connect(config, "TTS", "tts_model"), config.tts_voice)


provider: Provider[SpeechSynthesizer] = Provider(name="openai", open=_open, ready=_ready)
