"""The recognizer ``pocketsphinx``."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

from ragwork_hooks.errors import ProviderError
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_hooks.shares import Shares, in_thread, provider_busy
from ragwork_hooks.speech import Audio, SpeechRecognizer

from ragwork_pocketsphinx.grammar import Grammar, grammar
from ragwork_pocketsphinx.wav_conversion import is_quiet, read

if TYPE_CHECKING:
    from pocketsphinx import Decoder  # type: ignore[import-untyped]  # ships no types

#: 20 ms of sound. The decoder holds the interpreter's lock during a block, so blocks are short.
_BLOCK: Final = 640
_SEARCH: Final = "phrases"
#: Recordings that may wait to be heard.
_WAITING: Final = 100


class PocketSphinxRecognizer:
    """One decoder in a thread of its own: calls take turns. Nothing of one call is left for the next."""

    name = "pocketsphinx"

    def __init__(self, decoder: "Decoder", worker: ThreadPoolExecutor, places: Shares) -> None:
        self._decoder = decoder
        self._places = places
        self._worker = worker

    async def recognize(self, audio: Audio, phrases: Sequence[str] = ()) -> str:
        """The words, lower case without punctuation; a phrase heard whole is given back as it was spelled.
        Silence is an empty text. With ``phrases`` nothing else is heard, save when the dictionary has the
        words of none of them. A cancelled call stops the work.

        Raises ``ProviderError`` ASR_ERROR.
        """
        stop = threading.Event()
        work = partial(self._recognize, audio, tuple(phrases), stop)
        try:
            return await in_thread(self._places, self._worker, work)
        finally:
            stop.set()

    async def aclose(self) -> None:
        """Wait for what is being heard, then end the thread."""
        await asyncio.to_thread(self._worker.shutdown)

    def _recognize(self, audio: Audio, phrases: Sequence[str], stop: threading.Event) -> str:
        samples = read(audio)
        if is_quiet(samples):
            return ""
        wanted = grammar(phrases, lambda word: self._decoder.lookup_word(word) is not None)
        try:
            heard = self._narrowed(wanted, samples.tobytes(), stop)
        except (RuntimeError, ValueError) as error:
            raise ProviderError("ASR_ERROR", "PocketSphinx could not decode the audio") from error
        return wanted.spelling.get(heard, heard) if wanted else heard

    def _narrowed(self, wanted: Grammar | None, pcm: bytes, stop: threading.Event) -> str:
        if wanted is None:
            return self._decode(pcm, stop)
        self._decoder.add_jsgf_string(_SEARCH, wanted.jsgf)
        try:
            self._decoder.activate_search(_SEARCH)
            return self._decode(pcm, stop)
        finally:
            self._decoder.activate_search()
            self._decoder.remove_search(_SEARCH)

    def _decode(self, pcm: bytes, stop: threading.Event) -> str:
        # The decoder adapts to what it hears; here the next speaker is somebody else.
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        try:
            for at in range(0, len(pcm), _BLOCK):
                if stop.is_set():
                    break
                self._decoder.process_raw(pcm[at : at + _BLOCK])
        finally:
            self._decoder.end_utt()
        hypothesis = self._decoder.hyp()
        return hypothesis.hypstr if hypothesis else ""


def _load() -> "Decoder":
    from pocketsphinx import Decoder

    try:
        # Without the second and third pass over a whole utterance: they can't be cut into blocks.
        return Decoder(loglevel="FATAL", fwdflat=False, bestpath=False)
    except (RuntimeError, ValueError, OSError) as error:
        raise ProviderError("ASR_CONFIG_MISSING", "PocketSphinx can't load its models") from error


async def _open(context: ProviderContext[None]) -> SpeechRecognizer:
    worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pocketsphinx")
    try:
        decoder = await asyncio.get_running_loop().run_in_executor(worker, _load)
    except BaseException:
        worker.shutdown(wait=False)
        raise
    places = context.services.shares("decoder", 1, waiting=_WAITING, refusal=provider_busy)
    return PocketSphinxRecognizer(decoder, worker, places)


provider: Provider[SpeechRecognizer] = Provider(name="pocketsphinx", open=_open)
