"""The chat model ``openai``: the chat completions API, streamed."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing
from typing import TYPE_CHECKING, Any

from ragwork_hooks.llm import ChatModel, ChatRequest, Delta, FinishReason, Usage
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_toolkit.citation_marks import Marks
from ragwork_toolkit.vendor.event_stream import objects
from ragwork_toolkit.vendor.sendable_text import sendable_text
from ragwork_toolkit.vendor.usage import estimate_usage

from ragwork_openai.client import ModelService, connect
from ragwork_openai.config import ServiceConfig, lacking
from ragwork_openai.errors import unavailable
from ragwork_openai.pieces import piece_of

if TYPE_CHECKING:
    from openai import AsyncAPIResponse
    from openai.types.chat import ChatCompletionMessageParam


class OpenAIChat:
    """Sends the messages as they are and passes on what comes back."""

    name = "openai"

    def __init__(self, service: ModelService) -> None:
        self._service = service

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """The answer as it arrives; a ``[n]`` mark of a passage that exists comes with its ``Cite``.

        Raises ``ProviderError`` LLM_AUTH_ERROR, LLM_TIMEOUT, LLM_ERROR (the request was refused) or
        INTEGRATION_UNAVAILABLE (also when the connection breaks before the answer ends).
        """
        with self._service.translated():
            async with self._call(request) as response, aclosing(self._deltas(response, request)) as deltas:
                async for delta in deltas:
                    yield delta

    async def aclose(self) -> None:
        await self._service.aclose()

    def _call(self, request: ChatRequest) -> "AbstractAsyncContextManager[AsyncAPIResponse[Any]]":
        """The answer as bytes: the SDK's own reading of the stream ends at the first piece that it did not expect."""
        from openai import omit

        limit, temperature = request.max_output_tokens, request.temperature
        return self._service.client.chat.completions.with_streaming_response.create(
            model=request.model or self._service.model,
            messages=_messages(request),
            max_completion_tokens=omit if limit is None else limit,
            temperature=omit if temperature is None else temperature,
            stream=True,
            stream_options={"include_usage": True},
        )

    async def _deltas(
        self, response: "AsyncAPIResponse[Any]", request: ChatRequest
    ) -> AsyncGenerator[Delta, None]:
        """The text as it comes. What came stays, also of a stream that ends without saying that it is whole."""
        marks = Marks(len(request.passages))
        usage: Usage | None = None
        reason: FinishReason | None = None
        ended = False
        written = 0
        async for found in objects(self._service.received(response), self._service.codes):
            if found is None:
                ended = True
                break
            piece = piece_of(found)
            if piece.failed and not ended:
                raise unavailable("the service reports an error in the middle of its answer")
            usage, reason, ended = piece.usage or usage, piece.reason or reason, ended or piece.ended
            if piece.text:
                written += len(piece.text)
                yield Delta(text=piece.text, cites=marks.after(piece.text))
        if not ended and not written:
            raise unavailable("the service's answer is empty")
        if not ended:
            reason = "incomplete"
        yield Delta(usage=usage or estimate_usage(request, written), finish_reason=reason)


def _messages(request: ChatRequest) -> "list[ChatCompletionMessageParam]":
    found: list[ChatCompletionMessageParam] = []
    for message in request.messages:
        content = sendable_text(message.content)
        if message.role == "system":
            found.append({"role": "system", "content": content})
        elif message.role == "user":
            found.append({"role": "user", "content": content})
        else:
            found.append({"role": "assistant", "content": content})
    return found


def _ready(config: ServiceConfig) -> str | None:
    return lacking(config, "model")


async def _open(context: ProviderContext[ServiceConfig]) -> ChatModel:
    return OpenAIChat(await connect(context.config, "LLM", "model"))


provider: Provider[ChatModel] = Provider(name="openai", open=_open, ready=_ready)
