"""The chat model ``vertex``: Gemini, streamed."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING

from ragwork_hooks.errors import ProviderError
from ragwork_hooks.llm import ChatModel, ChatRequest, Delta, FinishReason, Usage
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_toolkit.citation_marks import Marks
from ragwork_toolkit.vendor.errors import unavailable
from ragwork_toolkit.vendor.sendable_text import sendable_text
from ragwork_toolkit.vendor.usage import estimate_usage

from ragwork_vertex.config import VertexConfig, ready
from ragwork_vertex.errors import CHAT, of_gemini, translated
from ragwork_vertex.gemini import connect
from ragwork_vertex.read_ahead import read_ahead

if TYPE_CHECKING:
    from google.genai import Client
    from google.genai.types import Content, GenerateContentConfig, GenerateContentResponse

#: Reasons to end that leave an answer.
_FINISHED: Mapping[str, FinishReason | None] = {"STOP": None, "MAX_TOKENS": "length"}


class GeminiChat:
    """Sends the messages as they are and passes on what comes back."""

    name = "vertex"

    def __init__(self, client: "Client", model: str, timeout_s: float) -> None:
        self._client = client
        self._model = model
        self._timeout_s = timeout_s

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """The answer as it arrives; a ``[n]`` mark of a passage that exists comes with its ``Cite``.

        Raises ``ProviderError`` VERTEX_AUTH_ERROR, VERTEX_TIMEOUT (the whole answer takes too long),
        LLM_ERROR (the request was refused, or its answer withheld) or INTEGRATION_UNAVAILABLE (also when
        the stream ends before the answer does).
        """
        with translated(CHAT, of_gemini):
            async with (
                read_ahead(lambda: self._call(request), self._timeout_s) as chunks,
                aclosing(_deltas(chunks, request)) as deltas,
            ):
                async for delta in deltas:
                    yield delta

    async def aclose(self) -> None:
        await self._client.aio.aclose()

    async def _call(self, request: ChatRequest) -> "AsyncIterator[GenerateContentResponse]":
        return await self._client.aio.models.generate_content_stream(
            model=request.model or self._model,
            contents=list(_contents(request)),
            config=_config(request),
        )


def _contents(request: ChatRequest) -> "list[Content]":
    from google.genai.types import Content, Part

    return [
        Content(
            role="model" if message.role == "assistant" else "user",
            parts=[Part(text=_sendable(message.content))],
        )
        for message in request.messages
        if message.role != "system"
    ]


def _config(request: ChatRequest) -> "GenerateContentConfig":
    from google.genai.types import AutomaticFunctionCallingConfig, GenerateContentConfig

    system = [_sendable(message.content) for message in request.messages if message.role == "system"]
    return GenerateContentConfig(
        system_instruction="\n\n".join(system) or None,
        max_output_tokens=request.max_output_tokens,
        temperature=request.temperature,
        # The SDK would otherwise ask again by itself.
        automatic_function_calling=AutomaticFunctionCallingConfig(disable=True),
        automatic_continuation=False,
    )


def _sendable(text: str) -> str:
    """Never empty, and without lone surrogates: they have no UTF-8 form, so they can't travel."""
    return sendable_text(text) or " "


async def _deltas(
    chunks: AsyncIterator["GenerateContentResponse"], request: ChatRequest
) -> AsyncGenerator[Delta, None]:
    marks = Marks(len(request.passages))
    usage: Usage | None = None
    finished, cut_short = False, None
    written = 0
    async for chunk in chunks:
        usage = _usage(chunk) or usage
        text, ended = _read(chunk)
        if ended is not None:
            finished, cut_short = True, _FINISHED[ended]
        if text:
            written += len(text)
            yield Delta(text=text, cites=marks.after(text))
    if not finished:
        raise unavailable(CHAT, "the service's answer broke off")
    yield Delta(usage=usage or estimate_usage(request, written), finish_reason=cut_short)


def _read(chunk: "GenerateContentResponse") -> tuple[str, str | None]:
    """A chunk's text, and why the answer ends with it, if it does. Raises ``ProviderError`` LLM_ERROR when the
    service withholds the answer.
    """
    feedback = chunk.prompt_feedback
    if feedback is not None and feedback.block_reason is not None:
        raise ProviderError(CHAT.refused, f"the service refused the question ({feedback.block_reason.name})")
    if not chunk.candidates:
        return "", None
    candidate = chunk.candidates[0]
    reason = candidate.finish_reason
    if reason is not None and reason.name not in _FINISHED:
        raise ProviderError(CHAT.refused, f"the service withheld the answer ({reason.name})")
    parts = (candidate.content.parts if candidate.content else None) or []
    return "".join(part.text or "" for part in parts if not part.thought), reason and reason.name


def _usage(chunk: "GenerateContentResponse") -> Usage | None:
    """Counts so far; those of the last chunk are the answer's. Thoughts are paid for like text."""
    counted = chunk.usage_metadata
    if counted is None or counted.prompt_token_count is None:
        return None
    output = (counted.candidates_token_count or 0) + (counted.thoughts_token_count or 0)
    return Usage(input_tokens=counted.prompt_token_count, output_tokens=output)


async def _open(context: ProviderContext[VertexConfig]) -> ChatModel:
    config = context.config
    return GeminiChat(
        await connect(config, CHAT, config.stream_timeout_s), config.model, config.stream_timeout_s
    )


provider: Provider[ChatModel] = Provider(name="vertex", open=_open, ready=ready)
