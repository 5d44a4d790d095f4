"""Names and values as tokens: what a filter compares is never somebody's text.

Every id, reader, label and metadata value is stored and asked for as 32 hexadecimal digits of its
SHA-256. A filter expression therefore has nothing to escape, and equality is strict by type.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping

from ragwork_hooks.retrieval import IndexedDocument


def token(kind: str, *parts: str) -> str:
    """32 hexadecimal digits that stand for ``parts`` in their role ``kind``."""
    return hashlib.sha256(json.dumps([kind, *parts]).encode()).hexdigest()[:32]


def reader(name: str) -> str:
    """A reader without an end."""
    return token("reader", name)


def passing_reader(name: str) -> str:
    """A reader until some time: the key under ``until``. Starts with a letter, as a JSON path likes it."""
    return "r" + token("until", name)


def owner(user_id: str) -> str:
    return token("owner", user_id)


def label(key: str, value: str) -> str:
    return token("label", key, value)


def fact(key: str, value: object) -> str:
    """A metadata value; 1 and 1.0 are one, 1 and true and "1" are three."""
    return token("metadata", key, json.dumps(_plain(value), sort_keys=True))


def facts_of(document: IndexedDocument) -> frozenset[str]:
    """All tokens by which a scope or a filter can find the document."""
    return frozenset(
        (
            owner(document.owner),
            *(reader(name) for name, until in document.readers.items() if until is None),
            *(label(key, value) for key, value in document.labels.items()),
            *_metadata(document.metadata),
        )
    )


def _metadata(metadata: Mapping[str, object]) -> Iterator[str]:
    """A list is found by its elements and as a whole."""
    for key, value in metadata.items():
        yield fact(key, value)
        if isinstance(value, list | tuple):
            for element in value:
                yield fact(key, element)


def _plain(value: object) -> object:
    match value:
        case float() if value.is_integer():
            return int(value)
        case Mapping():
            return {str(key): _plain(element) for key, element in value.items()}
        case list() | tuple():
            return [_plain(element) for element in value]
        case _:
            return value
