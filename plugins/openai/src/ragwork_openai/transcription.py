"""The recognizer ``openai``: audio to text."""

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from ragwork_hooks.errors import ProviderError
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_hooks.speech import Audio, SpeechRecognizer
from ragwork_toolkit.vendor.sendable_text import sendable_text

from ragwork_openai.client import ModelService, connect
from ragwork_openai.config import ServiceConfig, lacking
from ragwork_openai.errors import unavailable

#: The service goes by the name of the file, and refuses a type that is not among these.
_SUFFIXES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "audio/flac": "flac",
        "audio/mp4": "mp4",
        "audio/mpeg": "mp3",
        "audio/ogg": "ogg",
        "audio/wav": "wav",
        "audio/webm": "webm",
        "audio/x-wav": "wav",
    }
)
_MAX_BYTES: Final = 25 * 1024 * 1024
#: A day of speech as text is a fraction of it.
_MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
#: The service reads the last 224 tokens of a prompt; a token is rarely less than two characters.
_MAX_PROMPT_CHARS: Final = 448


class OpenAIRecognizer:
    """Phrases are a hint to the service: it may hear other words."""

    name = "openai"

    def __init__(self, service: ModelService) -> None:
        self._service = service

    async def recognize(self, audio: Audio, phrases: Sequence[str] = ()) -> str:
        """What is said in ``audio`` (FLAC, MP4, MP3, Ogg, WAV, WebM; at most 25 MiB). As many ``phrases``,
        from the first, as fit into the service's prompt help it with unusual words.

        Raises ``ProviderError`` ASR_AUTH_ERROR, ASR_ERROR (also when it takes too long) or
        INTEGRATION_UNAVAILABLE.
        """
        suffix = _SUFFIXES.get(audio.mime.partition(";")[0].strip().lower())
        if suffix is None:
            raise ProviderError("ASR_ERROR", "the service does not take audio of this type")
        if not 0 < len(audio.data) <= _MAX_BYTES:
            raise ProviderError("ASR_ERROR", f"the audio has {len(audio.data)} bytes, not 1 to {_MAX_BYTES}")
        with self._service.translated():
            asked = self._service.client.audio.transcriptions.with_streaming_response.create(
                model=self._service.model,
                file=(f"audio.{suffix}", audio.data),
                response_format="json",
                prompt=_prompt(phrases),
            )
            async with asked as answer:
                found = json.loads(await self._service.read_whole(answer, _MAX_ANSWER_BYTES))
            text: object = found["text"]
        if not isinstance(text, str):
            raise unavailable("the service sent no text")
        return text.strip()

    async def aclose(self) -> None:
        await self._service.aclose()


def _prompt(phrases: Sequence[str]) -> str:
    """Whole phrases, one a line, without lone surrogates (they have no UTF-8 form)."""
    prompt = ""
    for phrase in phrases:
        longer = sendable_text(f"{prompt}\n{phrase}").strip()
        if len(longer) <= _MAX_PROMPT_CHARS:
            prompt = longer
    return prompt


def _ready(config: ServiceConfig) -> str | None:
    return lacking(config, "asr_model")


async def _open(context: ProviderContext[ServiceConfig]) -> SpeechRecognizer:
    return OpenAIRecognizer(await connect(context.config, "ASR", "asr_model"))


provider: Provider[SpeechRecognizer] = Provider(name="openai", open=_open, ready=_ready)
