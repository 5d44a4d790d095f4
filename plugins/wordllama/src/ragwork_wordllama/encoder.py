"""Text to vector on the calling thread: the mean of the vectors of its tokens.

Importing this module imports numpy and tokenizers: do it off the event loop.
"""

from collections.abc import Sequence
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load
from tokenizers import Tokenizer

from ragwork_wordllama import files

#: What lies beyond this many characters of a text is not read: about 4,000 words, 5 ms.
MAX_CHARACTERS: Final = 24_000
#: Token whose vector stands for a text without tokens.
_UNKNOWN: Final = (0,)


class WordllamaEncoder:
    """The loaded table, (32,000, 256) in half precision. ``vectors`` may be called from several threads."""

    def __init__(self) -> None:
        self._tokenizer = Tokenizer.from_buffer(files.read(files.TOKENIZER))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        table = load(files.read(files.VECTORS))["embedding.weight"]
        self._table = cast("NDArray[np.float16]", table)

    def vectors(self, texts: Sequence[str]) -> list[list[float]]:
        """One unit vector of 256 floats per text. Unpaired surrogates count as ``?``."""
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> list[float]:
        readable = text[:MAX_CHARACTERS].encode("utf-8", "replace").decode()
        ids = self._tokenizer.encode(readable, add_special_tokens=False).ids or list(_UNKNOWN)
        mean = self._table[ids].mean(axis=0, dtype=np.float32)
        unit: list[float] = (mean / np.linalg.norm(mean)).tolist()
        return unit
