"""The chat model ``fake``: tokens that depend on the question alone."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator

import attrs
from ragwork_hooks.llm import ChatModel, ChatRequest, Delta, ModelCitation
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_toolkit.vendor.usage import estimate_usage

from ragwork_fake.config import FakeConfig

_QUOTE_CHARS = 80


class FakeModel:
    """Streams ``tokens`` tokens; with passages the last one is the mark ``[1]``, quoting the first."""

    name = "fake"

    def __init__(self, config: FakeConfig) -> None:
        self._tokens = config.tokens
        self._delay_s = config.token_delay_ms / 1000

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        """Deltas of one token each. Never raises ``ProviderError``."""
        limit = request.max_output_tokens
        count = self._tokens if limit is None else min(self._tokens, limit)
        seed = hashlib.blake2b(request.question.encode(errors="replace"), digest_size=4).hexdigest()
        words = count - 1 if request.passages else count
        for number in range(words):
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            yield Delta(text=f"{seed}-{number} ")
        if request.passages and count:
            quote = request.passages[0].text[:_QUOTE_CHARS]
            yield Delta(text="[1]", cites=(ModelCitation(passage=1, quote=quote),))
        yield Delta(usage=attrs.evolve(estimate_usage(request, 0), output_tokens=count))

    async def aclose(self) -> None:
        """Nothing to release."""


async def _open(context: ProviderContext[FakeConfig]) -> ChatModel:
    return FakeModel(context.config)


provider: Provider[ChatModel] = Provider(name="fake", open=_open)
