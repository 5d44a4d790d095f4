"""The library espeak-ng, through ctypes. Blocking: call it in a thread."""

import ctypes
import functools
import threading
from typing import Final

from ragwork_hooks.errors import ProviderError

SAMPLE_RATE: Final = 22_050
SAMPLE_BYTES: Final = 2

# From espeak-ng/speak_lib.h, which is a stable interface.
_OUTPUT_SYNCHRONOUS: Final = 2
_INITIALIZE_DONT_EXIT: Final = 0x8000
# Text is UTF-8; the flags for SSML and phonemes stay off.
_CHARS_UTF8: Final = 1
_PARAMETER_RATE: Final = 1
_OK: Final = 0
_CONTINUE, _ABORT = 0, 1

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)

# The library has one voice, rate and callback for the whole process and is not thread-safe. This lock
# guards that state, so it is as global as the state; every call sets all three before it speaks.
_TURN: Final = threading.Lock()


def check(voice: str) -> None:
    """Start the library and find ``voice``. Raises ``ProviderError`` TTS_CONFIG_MISSING."""
    with _TURN:
        _use(_library(), voice)


def speak(text: str, voice: str, rate: int, max_bytes: int, stop: threading.Event) -> bytes:
    """``text`` as 16-bit PCM, mono, ``SAMPLE_RATE``; it ends early when ``stop`` is set or after
    ``max_bytes``, give or take a buffer.

    Raises ``ProviderError`` TTS_ERROR or TTS_CONFIG_MISSING.
    """
    spoken = bytearray()

    def take(samples: int | None, count: int, _events: int | None) -> int:
        if stop.is_set() or len(spoken) >= max_bytes:
            return _ABORT
        if samples is not None and count > 0:
            spoken.extend(ctypes.string_at(samples, count * SAMPLE_BYTES))
        return _CONTINUE

    callback = _Callback(take)  # must outlive the call
    data = text.encode() + b"\0"
    with _TURN:
        library = _library()
        _use(library, voice)
        library.espeak_SetParameter(_PARAMETER_RATE, rate, 0)
        library.espeak_SetSynthCallback(callback)
        status = library.espeak_Synth(data, len(data), 0, 0, 0, _CHARS_UTF8, None, None)
        # Not after this call: the library must not keep what Python is about to free.
        library.espeak_SetSynthCallback(_Callback())
    if status != _OK:
        raise ProviderError("TTS_ERROR", f"espeak-ng refused the text (status {status})")
    return bytes(spoken)


def _use(library: ctypes.CDLL, voice: str) -> None:
    if library.espeak_SetVoiceByName(voice.encode()) != _OK:
        raise ProviderError("TTS_CONFIG_MISSING", f"espeak-ng has no voice {voice!r}: check ESPEAK_VOICE")


@functools.cache
def _library() -> ctypes.CDLL:
    """The library, started once for the process. Call it with ``_TURN`` held."""
    import espeakng_loader  # type: ignore[import-untyped]  # ships no types

    try:
        library = ctypes.CDLL(espeakng_loader.get_library_path())
        folder = espeakng_loader.get_data_path()
    except (OSError, RuntimeError) as error:
        raise ProviderError("TTS_CONFIG_MISSING", "espeak-ng can't be loaded on this machine") from error
    library.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
    library.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
    library.espeak_SetParameter.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int]
    library.espeak_SetSynthCallback.argtypes = [_Callback]
    library.espeak_SetSynthCallback.restype = None
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    rate = library.espeak_Initialize(_OUTPUT_SYNCHRONOUS, 0, folder.encode(), _INITIALIZE_DONT_EXIT)
    if rate != SAMPLE_RATE:
        raise ProviderError("TTS_CONFIG_MISSING", f"espeak-ng did not start (it answered {rate})")
    return library
