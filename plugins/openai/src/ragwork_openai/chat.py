"""The chat model ``openai``: the chat completions API, streamed."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from ragwork_hooks.llm import ChatModel, ChatRequest, Delta, Usage
from ragwork_hooks.marks import Marks
from ragwork_hooks.plugin import Provider, ProviderContext

from ragwork_openai.client import connect
from ragwork_openai.config import OpenAIConfig, ready
from ragwork_openai.errors import translated, unavailable

if TYPE_CHECKING:
    from openai import AsyncOpenAI, AsyncStream
    from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam


class OpenAIChat:
    """Sends the messages as they are and passes on what comes back."""

    name = "openai"

    def __init__(self, client: "AsyncOpenAI", model: str) -> None:
        self._client = client
        self._model = model

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """The answer as it arrives; a ``[n]`` mark of a passage that exists comes with its ``Cite``.

        Raises ``ProviderError`` LLM_AUTH_ERROR, LLM_TIMEOUT, LLM_ERROR (the request was refused) or
        INTEGRATION_UNAVAILABLE (also when the stream ends before the answer does).
        """
        with translated("LLM", timeout_code="LLM_TIMEOUT"):
            response = await self._call(request)
            async with response, aclosing(_deltas(response, request)) as deltas:
                async for delta in deltas:
                    yield delta

    async def aclose(self) -> None:
        await self._client.close()

    async def _call(self, request: ChatRequest) -> "AsyncStream[ChatCompletionChunk]":
        from openai import omit

        limit = request.max_output_tokens
        return await self._client.chat.completions.create(
            model=self._model,
            messages=_messages(request),
            max_completion_tokens=omit if limit is None else limit,
            stream=True,
            stream_options={"include_usage": True},
        )


def _messages(request: ChatRequest) -> "list[ChatCompletionMessageParam]":
    found: list[ChatCompletionMessageParam] = []
    for message in request.messages:
        # Lone surrogates have no UTF-8 form, so they can't travel.
        content = message.content.encode(errors="replace").decode()
        if message.role == "system":
            found.append({"role": "system", "content": content})
        elif message.role == "user":
            found.append({"role": "user", "content": content})
        else:
            found.append({"role": "assistant", "content": content})
    return found


async def _deltas(
    response: "AsyncStream[ChatCompletionChunk]", request: ChatRequest
) -> AsyncGenerator[Delta, None]:
    marks = Marks(len(request.passages))
    usage: Usage | None = None
    finished = False
    written = 0
    async for chunk in response:
        if chunk.usage is not None:
            usage = Usage(
                input_tokens=int(chunk.usage.prompt_tokens), output_tokens=int(chunk.usage.completion_tokens)
            )
        for choice in chunk.choices:
            finished = finished or choice.finish_reason is not None
            text = choice.delta.content or choice.delta.refusal or ""
            if text:
                written += len(text)
                yield Delta(text=text, cites=marks.after(text))
    if not finished:
        raise unavailable("the service's answer broke off")
    yield Delta(usage=usage or _estimate(request, written))


def _estimate(request: ChatRequest, written: int) -> Usage:
    """For services that don't count: a token is about four characters of English."""
    prompt = sum(len(message.content) for message in request.messages)
    return Usage(input_tokens=-(-prompt // 4), output_tokens=-(-written // 4), estimated=True)


async def _open(context: ProviderContext[OpenAIConfig]) -> ChatModel:
    return OpenAIChat(await connect(context.config, "LLM"), context.config.model)


provider: Provider[ChatModel] = Provider(name="openai", open=_open, ready=ready)
