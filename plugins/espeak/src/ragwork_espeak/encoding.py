"""PCM to files that players take. Blocking: call it in a thread."""

import io
import wave
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from ragwork_hooks.speech import Audio

from ragwork_espeak.engine import SAMPLE_BYTES, SAMPLE_RATE

#: Enough that the encoder adds nothing one hears to this voice.
_KBITS: Final = 48
#: The encoder's 2 (slow, best) to 7 (fast); differences are inaudible here, at half the time.
_QUALITY: Final = 7
#: Five seconds at once: the encoder does not let other threads run meanwhile.
_SLICE: Final = 5 * SAMPLE_RATE * SAMPLE_BYTES


def mp3(pcm: bytes) -> Audio:
    """MPEG-2 Layer III, constant bit rate, mono."""
    import lameenc  # type: ignore[import-not-found]  # an extension module without types

    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_channels(1)
    encoder.set_in_sample_rate(SAMPLE_RATE)
    encoder.set_bit_rate(_KBITS)
    encoder.set_quality(_QUALITY)
    frames = [encoder.encode(pcm[at : at + _SLICE]) for at in range(0, len(pcm), _SLICE)]
    return Audio(data=b"".join([*frames, encoder.flush()]), mime="audio/mpeg")


def wav(pcm: bytes) -> Audio:
    """RIFF, 16-bit PCM, mono."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(SAMPLE_BYTES)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(pcm)
    return Audio(data=buffer.getvalue(), mime="audio/wav")


ENCODERS: Final[Mapping[str, Callable[[bytes], Audio]]] = MappingProxyType({"mp3": mp3, "wav": wav})
