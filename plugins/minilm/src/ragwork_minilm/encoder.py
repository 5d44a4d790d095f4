"""Text to vector on the calling thread: tokenizer plus onnxruntime session, both safe to share.

Importing this module imports numpy, onnxruntime and tokenizers: do it off the event loop.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # ships no types
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ragwork_minilm import graph, weights

#: 32 characters for each token the model can see; what lies beyond is not even tokenised.
MAX_CHARACTERS: Final = 32 * weights.MAX_TOKENS


class _Session(Protocol):
    def run(self, outputs: None, inputs: Mapping[str, NDArray[np.int64]]) -> list[NDArray[np.float32]]: ...


class MinilmEncoder:
    """The loaded model. ``vectors`` may be called from several threads at once."""

    def __init__(self) -> None:
        self._tokenizer = Tokenizer.from_buffer(weights.tokenizer_json())
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(weights.MAX_TOKENS)
        self._session: _Session = _open_session()

    def vectors(self, texts: Sequence[str]) -> list[list[float]]:
        """One unit vector of 384 floats per text, each computed by itself: padding a batch to its longest
        text made bulk work slower, and this way a vector doesn't depend on its neighbours.

        Any text has one: the empty text too, and unpaired surrogates count as ``?``.
        """
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> list[float]:
        readable = text[:MAX_CHARACTERS].encode("utf-8", "replace").decode()
        ids = np.array([self._tokenizer.encode(readable).ids], np.int64)
        vector: list[float] = self._session.run(None, {"ids": ids})[0][0].tolist()
        return vector


def _open_session() -> _Session:
    model, constants = graph.build(weights.load())
    options = onnxruntime.SessionOptions()
    # Texts run side by side, one thread each: no thread pool, nothing that spins.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # On processors without VNNI the fast 8-bit kernels saturate; this chooses the exact ones there.
    options.add_session_config_entry("session.x64quantprecision", "1")
    values: list[Any] = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in constants.values()]
    options.add_external_initializers(list(constants), values)
    session: _Session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session
