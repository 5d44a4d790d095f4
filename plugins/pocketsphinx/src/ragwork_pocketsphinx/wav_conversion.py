"""WAV files to what the acoustic model was trained on: 16-bit mono at 16 kHz. Blocking: call it in a thread."""

import io
import math
import struct
import wave
from typing import TYPE_CHECKING, Final, TypeAlias

from ragwork_hooks.errors import ProviderError
from ragwork_hooks.speech import Audio

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples: TypeAlias = NDArray[np.int16]

MODEL_RATE: Final = 16_000
#: A recognizer is one thread for all tenants; dictation of this length holds it for about ten seconds.
MAX_SECONDS: Final = 60
# Slower sound (a telephone's) lacks the upper band that the model listens to: it hears nothing at all.
_RATES: Final = range(12_000, 192_001)
_MIMES: Final = frozenset({"audio/wav", "audio/wave", "audio/x-wav", "audio/vnd.wave"})
#: Half a percent of full scale (-50 dB): below it there is nobody in the room, but the model hears words.
_QUIET: Final = 104


def read(audio: Audio) -> "Samples":
    """The samples of ``audio`` at ``MODEL_RATE``. Raises ``ProviderError`` ASR_ERROR for anything but a WAV
    file of 16-bit mono PCM, 12 to 192 kHz, with sound, and no longer than ``MAX_SECONDS``.
    """
    import numpy as np

    if audio.mime.partition(";")[0].strip().lower() not in _MIMES:
        raise _refused("it is not a WAV file by its type")
    try:
        with wave.open(io.BytesIO(audio.data), "rb") as file:
            layout = (file.getnchannels(), file.getsampwidth())
            rate = file.getframerate()
            pcm = file.readframes(MAX_SECONDS * _RATES[-1] + 1)
    except (wave.Error, EOFError, struct.error, OSError, ValueError, ZeroDivisionError) as error:
        raise _refused("it is not a readable WAV file of PCM samples") from error
    if layout != (1, 2):
        raise _refused("it is not 16-bit mono")
    if rate not in _RATES:
        raise _refused(f"its sampling rate is not {_RATES[0]} to {_RATES[-1]} Hz")
    samples = np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2")
    if not samples.size:
        raise _refused("there is no sound in it")
    if samples.size > MAX_SECONDS * rate:
        raise _refused(f"it is longer than {MAX_SECONDS} s")
    return resampled(samples, rate)


def is_quiet(samples: "Samples") -> bool:
    """Whether nothing in it is as loud as a whisper."""
    return bool(abs(samples.astype("i4")).max() < _QUIET)


def resampled(samples: "Samples", rate: int) -> "Samples":
    """``samples`` at ``MODEL_RATE``, without what that rate cannot hold (no aliases).

    In the frequency domain, over the whole length, so it is exact for what is below half of both rates. The
    end is filled with silence until both rates have a whole number of samples.
    """
    import numpy as np

    if rate == MODEL_RATE:
        return samples.astype(np.int16)
    step = rate // math.gcd(rate, MODEL_RATE)
    padded = np.pad(samples.astype(np.float64), (0, -samples.size % step))
    length = padded.size * MODEL_RATE // rate
    spectrum = np.fft.rfft(padded)
    wanted = np.zeros(length // 2 + 1, dtype=complex)
    kept = min(wanted.size, spectrum.size)
    wanted[:kept] = spectrum[:kept]
    scaled = np.fft.irfft(wanted, length) * (length / padded.size)
    return np.clip(np.rint(scaled), -32_768, 32_767).astype(np.int16)


def _refused(why: str) -> ProviderError:
    return ProviderError("ASR_ERROR", f"the audio can't be recognized: {why}")
