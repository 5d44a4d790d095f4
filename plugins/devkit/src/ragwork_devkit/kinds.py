"""What kinds of plugins can be written, and what the written one does."""

from collections.abc import Mapping
from typing import Final

import attrs


@attrs.frozen(kw_only=True)
class Kind:
    """``provider`` names the module of a provider and its entry point group; ``None`` for contributions."""

    name: str
    summary: str
    provider: tuple[str, str] | None = None


KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            name="llm",
            summary="Answers with the first sentence of the best passage",
            provider=("model", "ragwork.llm"),
        ),
        Kind(
            name="embedding",
            summary="Hashed bag of words as unit vectors",
            provider=("embedder", "ragwork.embedding"),
        ),
        Kind(
            name="retrieval",
            summary="Scans the local index for the words of the question",
            provider=("retriever", "ragwork.retrieval"),
        ),
        Kind(
            name="reranker",
            summary="Prefers passages where the question's words stand together",
            provider=("reranker", "ragwork.reranker"),
        ),
        Kind(name="tts", summary="Speaks Morse code", provider=("voice", "ragwork.tts")),
        Kind(name="asr", summary="Understands Morse code", provider=("recognizer", "ragwork.asr")),
        Kind(
            name="parser",
            summary="Reads subtitles, paragraph by paragraph",
            provider=("parser", "ragwork.parser"),
        ),
        Kind(
            name="connector",
            summary="Keeps a corpus in step with the files in an archive",
            provider=("connector", "ragwork.connector"),
        ),
        Kind(name="gate", summary="Keeps some actions to some roles"),
        Kind(name="sink", summary="Writes durable events to a file of JSON lines"),
        Kind(name="route", summary="Keeps notes of a tenant"),
    )
}
