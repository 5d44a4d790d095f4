"""The chat model ``anthropic``: the Messages API, streamed."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import TYPE_CHECKING, Any, Literal

from ragwork_hooks.llm import ChatModel, ChatRequest, Delta
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_toolkit.citation_marks import Marks
from ragwork_toolkit.vendor.conversation import conversation
from ragwork_toolkit.vendor.errors import unavailable
from ragwork_toolkit.vendor.event_stream import objects
from ragwork_toolkit.vendor.stainless import received
from ragwork_toolkit.vendor.usage import estimate_usage

from ragwork_anthropic.client import connect
from ragwork_anthropic.config import AnthropicConfig, ready
from ragwork_anthropic.errors import CODES, in_stream, translated
from ragwork_anthropic.pieces import AnswerState

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic, AsyncAPIResponse
    from anthropic.types import MessageParam, TextBlockParam


class AnthropicChat:
    """Sends the messages, system texts apart, and passes on what comes back. The service takes no temperature."""

    name = "anthropic"

    def __init__(self, client: "AsyncAnthropic", config: AnthropicConfig) -> None:
        self._client = client
        self._config = config

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """The answer as it arrives; a ``[n]`` mark of a passage that exists comes with its citation.

        Raises ``ProviderError`` LLM_AUTH_ERROR, LLM_TIMEOUT, LLM_ERROR (the request was refused) or
        INTEGRATION_UNAVAILABLE (also when the connection breaks before the answer ends).
        """
        with translated():
            async with self._call(request) as response, aclosing(_deltas(response, request)) as deltas:
                async for delta in deltas:
                    yield delta

    async def aclose(self) -> None:
        await self._client.close()

    def _call(self, request: ChatRequest) -> "AbstractAsyncContextManager[AsyncAPIResponse[Any]]":
        """The answer as bytes: the SDK's own reading of the stream ends at the first event that it did not expect."""
        from anthropic import omit

        system, turns = conversation(request.messages, CODES)
        return self._client.messages.with_streaming_response.create(
            model=request.model or self._config.model,
            max_tokens=request.max_output_tokens or self._config.max_tokens,
            system=[{"type": "text", "text": text} for text in system] or omit,
            messages=[_message(role, texts) for role, texts in turns],
            stream=True,
        )


def _message(role: Literal["user", "assistant"], texts: Sequence[str]) -> "MessageParam":
    blocks: list[TextBlockParam] = [{"type": "text", "text": text} for text in texts]
    # Written out, as the type is a union with one member for each role.
    if role == "user":
        return {"role": "user", "content": blocks}
    return {"role": "assistant", "content": blocks}


async def _deltas(response: "AsyncAPIResponse[Any]", request: ChatRequest) -> AsyncGenerator[Delta, None]:
    """The text as it comes. What came stays, also of a stream that ends without saying that it is whole."""
    import anthropic

    marks, answer = Marks(len(request.passages)), AnswerState()
    async for event in objects(received(anthropic, response), CODES):
        text = answer.add(event or {})
        if answer.failure is not None and not answer.ended:
            raise in_stream(answer.failure)
        if text:
            yield Delta(text=text, cites=marks.after(text))
        if answer.stopped:
            break
    if not answer.ended and not answer.written:
        raise unavailable(CODES, "the service's answer is empty")
    usage = answer.usage or estimate_usage(request, answer.written)
    yield Delta(usage=usage, finish_reason=answer.reason if answer.ended else "incomplete")


async def _open(context: ProviderContext[AnthropicConfig]) -> ChatModel:
    return AnthropicChat(await connect(context.config), context.config)


provider: Provider[ChatModel] = Provider(name="anthropic", open=_open, ready=ready)
