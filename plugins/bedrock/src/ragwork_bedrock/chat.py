"""The chat model ``bedrock``: the operation ConverseStream, which is the same for every model."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import TYPE_CHECKING

import attrs
from ragwork_hooks.llm import ChatModel, ChatRequest, Delta, FinishReason, Usage
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_hooks.shares import provider_busy
from ragwork_toolkit.citation_marks import Marks
from ragwork_toolkit.vendor.cancellable_threads import MAX_WAITING, Call
from ragwork_toolkit.vendor.conversation import conversation
from ragwork_toolkit.vendor.errors import unavailable
from ragwork_toolkit.vendor.usage import estimate_usage

from ragwork_bedrock.calls import Calls
from ragwork_bedrock.clients import AwsService, Clients
from ragwork_bedrock.config import BedrockConfig, chat_ready
from ragwork_bedrock.credentials import missing
from ragwork_bedrock.errors import CHAT, translated

if TYPE_CHECKING:
    from types_boto3_bedrock_runtime.client import BedrockRuntimeClient
    from types_boto3_bedrock_runtime.type_defs import (
        ConverseStreamOutputTypeDef,
        ConverseStreamRequestTypeDef,
        InferenceConfigurationTypeDef,
        MessageTypeDef,
    )

_CUT_SHORT: Mapping[str, FinishReason] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
}


class BedrockChat:
    """Sends the messages as they are and passes on what comes back, an event at a time."""

    name = "bedrock"

    def __init__(
        self, config: BedrockConfig, model_id: str, clients: "Clients[BedrockRuntimeClient]", calls: Calls
    ) -> None:
        self._region = config.region
        self._model_id = model_id
        self._clients = clients
        self._calls = calls

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """The answer as it arrives; a ``[n]`` mark of a passage that exists comes with its ``Cite``.

        Raises ``ProviderError`` AWS_CONFIG_MISSING, AWS_AUTH_ERROR, LLM_TIMEOUT, LLM_ERROR (the request
        was refused) or INTEGRATION_UNAVAILABLE (also when the stream ends before the answer does).
        """
        asked = _asked(self._model_id, request)
        marks, count = Marks(len(request.passages)), AnswerCount()
        with translated(CHAT):
            async with self._calls.call() as call:
                events = await call.run(lambda: self._begin(call, asked))
                while (event := await call.run(lambda: next(events, None))) is not None:
                    text = count.add(event)
                    if text:
                        yield Delta(text=text, cites=marks.after(text))
        if not count.finished:
            raise unavailable(CHAT, "Bedrock's answer broke off")
        yield Delta(usage=count.usage or estimate_usage(request, count.written), finish_reason=count.reason)

    async def aclose(self) -> None:
        await self._calls.aclose()
        self._clients.close()

    def _begin(
        self, call: Call, asked: "ConverseStreamRequestTypeDef"
    ) -> "Iterator[ConverseStreamOutputTypeDef]":
        """Runs in a thread, up to the head of the answer."""
        account = self._clients.account(self._region)
        stream = self._clients.client(account).converse_stream(**asked)["stream"]
        call.close_with(stream.close)
        return iter(stream)


@attrs.define
class AnswerCount:
    """What has come of an answer so far."""

    finished: bool = False
    reason: FinishReason | None = None
    usage: Usage | None = None
    written: int = 0

    def add(self, event: "ConverseStreamOutputTypeDef") -> str:
        """The text that ``event`` brings, "" for events about something else."""
        if "messageStop" in event:
            self.finished = True
            self.reason = _CUT_SHORT.get(event["messageStop"].get("stopReason", ""))
        elif "metadata" in event:
            counted = event["metadata"]["usage"]
            self.usage = Usage(
                input_tokens=int(counted["inputTokens"]), output_tokens=int(counted["outputTokens"])
            )
        elif "contentBlockDelta" in event:
            text = event["contentBlockDelta"]["delta"].get("text", "")
            self.written += len(text)
            return text
        return ""


def _asked(model_id: str, request: ChatRequest) -> "ConverseStreamRequestTypeDef":
    """The request in the service's terms. Raises ``ProviderError`` LLM_ERROR when the user said nothing."""
    system, turns = conversation(request.messages, CHAT)
    messages: list[MessageTypeDef] = [
        {"role": role, "content": [{"text": text} for text in texts]} for role, texts in turns
    ]
    asked: ConverseStreamRequestTypeDef = {"modelId": request.model or model_id, "messages": messages}
    if system:
        asked["system"] = [{"text": text} for text in system]
    inference: InferenceConfigurationTypeDef = {}
    if request.max_output_tokens is not None:
        inference["maxTokens"] = request.max_output_tokens
    if request.temperature is not None:
        inference["temperature"] = request.temperature
    if inference:
        asked["inferenceConfig"] = inference
    return asked


async def _open(context: ProviderContext[BedrockConfig]) -> ChatModel:
    config = context.config
    if not config.model_id:
        raise missing("BEDROCK_MODEL_ID is not set")
    limit = config.max_concurrency
    calls = Calls(context.services.shares("chat", limit, waiting=MAX_WAITING, refusal=provider_busy))
    service = AwsService(
        name="bedrock-runtime",
        endpoint_url=config.runtime_endpoint_url,
        silence_s=config.chat_timeout_s,
        max_concurrency=config.max_concurrency,
    )
    clients: Clients[BedrockRuntimeClient] = Clients(service, context.services.secrets, calls)
    await asyncio.to_thread(clients.warm, CHAT)
    return BedrockChat(config, config.model_id, clients, calls)


provider: Provider[ChatModel] = Provider(name="bedrock", open=_open, ready=chat_ready)
