"""Settings of the plugin ``ocr``, and whether what it needs is installed."""

import ctypes.util
import glob
from typing import Final

import attrs
from ragwork_hooks.settings import setting

#: Where Debian and Fedora keep a language's data.
_DATA: Final = ("/usr/share/tesseract-ocr/*/tessdata", "/usr/share/tessdata", "/usr/share/tesseract/tessdata")


@attrs.frozen(kw_only=True)
class OcrConfig:
    """In which languages, and how finely."""

    languages: tuple[str, ...] = setting(
        "OCR_LANGUAGES", ("eng",), "Languages of the texts, as Tesseract names them: eng, deu, fra"
    )
    dpi: int = setting("OCR_DPI", 200, "Dots per inch at which pages of PDF files are drawn", ge=72, le=600)


def library() -> str | None:
    """The name of Tesseract's shared library, if it is installed."""
    return ctypes.util.find_library("tesseract")


def ready(config: OcrConfig) -> str | None:
    """What is not installed, for ``Provider.ready``."""
    if library() is None:
        return "needs Tesseract: install tesseract-ocr"
    for language in config.languages:
        if not any(glob.glob(f"{folder}/{language}.traineddata") for folder in _DATA):
            return f"needs Tesseract's data for {language!r}: install tesseract-ocr-{language}"
    return None
