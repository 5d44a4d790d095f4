"""Names of features: as routes declare them, and as clients see them.

Routes say ``tts``, the contract's answers and requests say ``feature.tts``.
"""

import difflib
from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

_PREFIX: Final = "feature."
# Routes name a retrieval feature after its provider; the plan matrix calls this one otherwise.
_CATALOGUE_NAMES: Final = MappingProxyType({"retrieval.aws_bedrock_kb": "retrieval.aws_bedrock"})


def catalogued(key: str) -> str:
    """The catalogue's name of a feature, from a route's or a client's."""
    key = key.removeprefix(_PREFIX)
    return _CATALOGUE_NAMES.get(key, key)


def shown(key: str) -> str:
    """The feature's name as clients see it."""
    return _PREFIX + key


def nearest(given: str, known: Iterable[str]) -> str:
    """What to write instead of ``given``, as the end of a sentence."""
    names = list(known)
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(names)}"
