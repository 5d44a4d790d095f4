"""Tesseract through its C interface: a parser can start no program."""

import ctypes
import os
from collections.abc import Sequence
from typing import Any

from PIL import Image
from ragwork_hooks.parsing import ParseError


def load(name: str) -> Any:
    """The shared library ``name``. It uses one core: others parse beside it."""
    os.environ["OMP_THREAD_LIMIT"] = "1"
    library = ctypes.CDLL(name)
    library.TessBaseAPICreate.restype = ctypes.c_void_p
    library.TessBaseAPIInit3.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p)
    library.TessBaseAPISetImage.argtypes = (ctypes.c_void_p, ctypes.c_char_p, *(ctypes.c_int,) * 4)
    library.TessBaseAPISetSourceResolution.argtypes = (ctypes.c_void_p, ctypes.c_int)
    library.TessBaseAPIGetUTF8Text.argtypes = (ctypes.c_void_p,)
    library.TessBaseAPIGetUTF8Text.restype = ctypes.c_void_p
    library.TessDeleteText.argtypes = (ctypes.c_void_p,)
    library.TessBaseAPIDelete.argtypes = (ctypes.c_void_p,)
    return library


class Recognizer:
    """Reads images in ``languages``. Used by one caller, and closed by it."""

    def __init__(self, library: str, languages: Sequence[str]) -> None:
        self._library = load(library)
        self._handle = self._library.TessBaseAPICreate()
        if self._library.TessBaseAPIInit3(self._handle, None, "+".join(languages).encode()) != 0:
            self.close()
            raise ParseError(
                "unsupported", f"Tesseract has no data for {'+'.join(languages)}: see OCR_LANGUAGES"
            )

    def text(self, image: Image.Image, dpi: int) -> str:
        """Lines, with empty ones between paragraphs."""
        grey = image.convert("L")
        data = grey.tobytes()
        self._library.TessBaseAPISetImage(self._handle, data, grey.width, grey.height, 1, grey.width)
        self._library.TessBaseAPISetSourceResolution(self._handle, dpi)
        found = self._library.TessBaseAPIGetUTF8Text(self._handle)
        if not found:
            return ""
        try:
            return ctypes.string_at(found).decode("utf-8", "replace")
        finally:
            self._library.TessDeleteText(found)

    def close(self) -> None:
        self._library.TessBaseAPIDelete(self._handle)
