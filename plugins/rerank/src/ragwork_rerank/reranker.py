"""The reranker ``rerank``. Every call goes through the server's egress client."""

import asyncio
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from ragwork_hooks.errors import ProviderError
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_hooks.reranking import Reranker
from ragwork_hooks.services import Egress
from ragwork_toolkit.vendor.errors import VendorErrorCodes, not_understood, status_error, timed_out
from ragwork_toolkit.vendor.retry_after import retry_after_s
from ragwork_toolkit.vendor.sendable_text import sendable_text

from ragwork_rerank.config import RerankConfig, ready
from ragwork_rerank.wire_formats import FORMATS, WRONG_SHAPE

#: Texts in one request: Text Embeddings Inference takes no more unless it is told to.
BATCH: Final = 32
#: Characters of a text and of a question that are sent. The models read some 512 to 8,192 tokens of both together.
MAX_TEXT_CHARS: Final = 8_000
MAX_QUESTION_CHARS: Final = 4_000
#: A score of each of ``BATCH`` texts, with the texts again from a service that repeats them.
_MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
#: How long the egress client waits beyond the plugin's own time, which is told as what it is.
_SPARE_S: Final = 5.0
_CODES: Final = VendorErrorCodes(
    auth="RERANKER_AUTH_ERROR",
    refused="RERANKER_ERROR",
    timeout="RERANKER_TIMEOUT",
    unavailable="INTEGRATION_UNAVAILABLE",
    check="RERANK_API_KEY",
    service="the reranking service",
)


class ServiceReranker:
    """Asks a service of one of ``FORMATS``."""

    name = "rerank"

    def __init__(self, egress: Egress, url: str, config: RerankConfig) -> None:
        self._egress = egress
        self._format = FORMATS[config.wire_format]
        self._url = url.rstrip("/") + self._format.path
        self._model = config.model
        self._timeout_s = config.timeout_s
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if config.api_key:
            self._headers["Authorization"] = f"Bearer {config.api_key}"
        # Some services give the model's raw numbers. Once seen, all of theirs are taken for such, so that scores of
        # two calls stay comparable.
        self._raw = False

    async def rerank(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """One relevance from 0.0 to 1.0 per text, of the first ``MAX_TEXT_CHARS`` of each.

        Raises ``ProviderError`` RERANKER_AUTH_ERROR, RERANKER_TIMEOUT, RERANKER_ERROR, RERANKER_CONFIG_INVALID or
        INTEGRATION_UNAVAILABLE.
        """
        asked = _sendable(question, MAX_QUESTION_CHARS)
        scores: list[float] = []
        for start in range(0, len(texts), BATCH):
            batch = [_sendable(text, MAX_TEXT_CHARS) for text in texts[start : start + BATCH]]
            scores += await self._batch(asked, batch)
        self._raw = self._raw or any(not 0.0 <= score <= 1.0 for score in scores)
        return [_sigmoid(score) for score in scores] if self._raw else scores

    async def aclose(self) -> None:
        """Nothing to release: connections are the egress client's."""

    async def _batch(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        body = self._format.request(question, texts, self._model)
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._egress.request(
                    "POST",
                    self._url,
                    headers=self._headers,
                    body=body,
                    timeout_s=self._timeout_s + _SPARE_S,
                    max_bytes=_MAX_ANSWER_BYTES,
                )
        except TimeoutError as error:
            raise timed_out(_CODES) from error
        except ProviderError as error:
            if error.code != "EGRESS_REFUSED":
                raise
            raise ProviderError(
                "RERANKER_CONFIG_INVALID",
                f"RERANK_URL may not be called ({error.message}): add its address to EGRESS_ALLOW_PRIVATE",
            ) from error
        if answer.status != 200:
            advice = retry_after_s(answer.headers.get("Retry-After"), datetime.now(UTC))
            said = f"{_CODES.service} answered with status {answer.status}"
            raise status_error(_CODES, answer.status, advice, said)
        try:
            return await asyncio.to_thread(self._format.scores, answer.body, len(texts))
        except WRONG_SHAPE as error:
            raise not_understood(_CODES) from error


def _sendable(text: str, length: int) -> str:
    """The beginning of ``text`` as it can travel, and something where there is nothing: services refuse that."""
    sendable = sendable_text(text[:length])
    return sendable if sendable.strip() else "-"


def _sigmoid(score: float) -> float:
    """A raw score from 0.0 to 1.0, without an overflow at either end."""
    if score >= 0:
        return 1.0 / (1.0 + math.exp(-score))
    grown = math.exp(score)
    return grown / (1.0 + grown)


async def _open(context: ProviderContext[RerankConfig]) -> Reranker:
    config = context.config
    missing = ready(config)
    if missing is not None or config.url is None:
        raise ProviderError("RERANKER_CONFIG_MISSING", f"the reranker rerank {missing}")
    return ServiceReranker(context.services.egress, config.url, config)


provider: Provider[Reranker] = Provider(name="rerank", open=_open, ready=ready)
