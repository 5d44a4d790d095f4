"""The voice ``espeak`` keeps the contract, stays off the event loop, and treats every text as data."""

import asyncio
import io
import threading
import time
import wave

import pytest
from ragwork_espeak import engine, text, voice
from ragwork_espeak.config import EspeakConfig
from ragwork_espeak.voice import provider
from ragwork_hooks.errors import ConfigError, ProviderError
from ragwork_hooks.providers import ProviderContext
from ragwork_testkit.mp3 import count_frames
from ragwork_testkit.services import ProviderServices
from ragwork_testkit.speech import SpeechSynthesizerContract

SENTENCE = "The pump is serviced every three weeks. "
# MPEG-2 Layer III: 576 samples a frame.
FRAME_S = 576 / engine.SAMPLE_RATE


class TestEspeakMp3Contract(SpeechSynthesizerContract):
    async def make(self):
        return await provider.open(context())


class TestEspeakWavContract(SpeechSynthesizerContract):
    async def make(self):
        return await provider.open(context(format="wav"))


def context(**settings):
    return ProviderContext(services=ProviderServices(), config=EspeakConfig(**settings))


@pytest.fixture
async def speaking():
    """Opens voices, and closes them after the test."""
    opened = []

    async def make(**settings):
        opened.append(await provider.open(context(**settings)))
        return opened[-1]

    yield make
    for each in opened:
        await each.aclose()


def samples(audio):
    with wave.open(io.BytesIO(audio.data)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 22_050)
        assert file.getnframes() * 2 + 44 == len(audio.data)
        return file.readframes(file.getnframes())


def seconds(audio):
    return len(samples(audio)) / 2 / engine.SAMPLE_RATE


async def test_mp3_is_whole_frames_and_as_long_as_the_speech(speaking):
    compressed = await (await speaking()).synthesize(SENTENCE)
    plain = await (await speaking(format="wav")).synthesize(SENTENCE)
    assert (compressed.mime, plain.mime) == ("audio/mpeg", "audio/wav")
    # The encoder adds its delay and fills the last frame.
    assert count_frames(compressed.data) * FRAME_S == pytest.approx(seconds(plain), abs=0.2)
    assert len(compressed.data) < len(plain.data) / 6


async def test_speech_is_loud_enough_to_hear(speaking):
    pcm = memoryview(samples(await (await speaking(format="wav")).synthesize(SENTENCE))).cast("h")
    assert max(pcm) > 5_000


async def test_rate_and_voice_change_the_speech(speaking):
    normal = seconds(await (await speaking(format="wav")).synthesize(SENTENCE))
    assert seconds(await (await speaking(format="wav", rate=350)).synthesize(SENTENCE)) < normal * 0.7
    german, english = await speaking(format="wav", voice="de"), await speaking(format="wav")
    numbers = "97, 98, 99. " * 5  # 17.5 s in German, 13.5 s in English
    lengths = [seconds(await each.synthesize(numbers)) for each in (german, english)]
    assert abs(lengths[0] - lengths[1]) > 0.5


async def test_voices_with_different_settings_do_not_mix(speaking):
    slow, fast = await speaking(format="wav", rate=90), await speaking(format="wav", rate=400)
    one, other = seconds(await slow.synthesize(SENTENCE)), seconds(await fast.synthesize(SENTENCE))
    both = await asyncio.gather(*(each.synthesize(SENTENCE) for each in (slow, fast) * 8))
    assert one > other * 2
    assert [seconds(audio) for audio in both] == pytest.approx([one, other] * 8, rel=0.05)


@pytest.mark.parametrize("name", ["zz-nobody", "", "../../../etc/passwd"])
async def test_an_unknown_voice_does_not_open(name):
    with pytest.raises(ProviderError, match="ESPEAK_VOICE") as caught:
        await provider.open(context(voice=name))
    assert (caught.value.code, caught.value.retryable) == ("TTS_CONFIG_MISSING", False)


@pytest.mark.parametrize("settings", [{"rate": 79}, {"rate": 451}, {"format": "ogg"}])
def test_settings_out_of_bounds_are_refused(settings):
    with pytest.raises(ConfigError):
        EspeakConfig(**settings)


async def test_a_control_character_is_no_command_to_the_engine(speaking):
    spoken = await speaking(format="wav")
    # For the engine \x01 and 400S set the rate; the same letters read aloud take longer, not less.
    assert seconds(await spoken.synthesize("\x01400S" + SENTENCE)) > seconds(
        await spoken.synthesize(SENTENCE)
    )


async def test_a_nul_does_not_end_the_text(speaking):
    spoken = await speaking(format="wav")
    whole, cut = await spoken.synthesize(f"{SENTENCE}\0{SENTENCE}"), await spoken.synthesize(SENTENCE)
    assert seconds(whole) > seconds(cut) * 1.8


async def test_markup_is_read_and_not_obeyed(speaking):
    spoken = await speaking(format="wav")
    pause = await spoken.synthesize('Stop <break time="60s"/> here.')
    assert 1 < seconds(pause) < 20


@pytest.mark.parametrize("nothing", ["", " \n\t ", "\0\x01\x7f"])
async def test_a_text_without_a_character_to_speak_is_refused(speaking, nothing):
    with pytest.raises(ProviderError) as caught:
        await (await speaking()).synthesize(nothing)
    assert (caught.value.code, caught.value.retryable) == ("TTS_ERROR", False)


def test_pieces_end_with_sentences_and_keep_every_word():
    cut = list(text.pieces(SENTENCE * 100))
    assert " ".join(cut) == (SENTENCE * 100).strip()
    assert all(piece.endswith(".") and len(piece) <= 1_000 for piece in cut)


@pytest.mark.parametrize(
    "odd", ["a" * 5_000, "word " * 1_000, "。" * 5_000, ".\n" * 2_000, "x. " + "y" * 3_000]
)
def test_pieces_of_odd_texts_lose_nothing_but_spaces(odd):
    cut = list(text.pieces(odd))
    assert "".join("".join(cut).split()) == "".join(odd.split())
    assert all(0 < len(piece) <= 1_000 for piece in cut)


def test_a_long_text_is_cut_at_a_sentence():
    bounded = text.speakable(SENTENCE * 10_000)
    assert text.MAX_CHARS - len(SENTENCE) <= len(bounded) <= text.MAX_CHARS
    assert bounded.endswith("weeks.")
    assert text.speakable("fine") == "fine"


async def test_speech_is_bounded_in_time_and_ends_with_a_piece(speaking, monkeypatch):
    monkeypatch.setattr(voice, "MAX_BYTES", 10 * engine.SAMPLE_RATE * 2)
    spoken = await speaking(format="wav")
    # Each is read by its name: 1.5 s for one character.
    assert seconds(await spoken.synthesize("\U0001f469\U0001f4bb" * 400)) == pytest.approx(10, abs=1)
    monkeypatch.setattr(voice, "MAX_BYTES", 100 * engine.SAMPLE_RATE * 2)
    one_piece = seconds(await spoken.synthesize(SENTENCE * 25))
    assert one_piece < 100
    assert seconds(await spoken.synthesize(SENTENCE * 100)) == pytest.approx(one_piece, abs=1)


async def test_the_event_loop_stays_free(speaking):
    spoken = await speaking()
    task = asyncio.create_task(spoken.synthesize(SENTENCE * 250))
    longest, last = 0.0, time.perf_counter()
    while not task.done():
        await asyncio.sleep(0.001)
        longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
    assert (await task).mime == "audio/mpeg"
    assert longest < 0.15


async def test_a_cancelled_call_stops_the_work(speaking, monkeypatch):
    begun, calls, speak = threading.Event(), [], engine.speak

    def counted(piece, *rest):
        calls.append(piece)
        begun.set()
        return speak(piece, *rest)

    monkeypatch.setattr(engine, "speak", counted)
    spoken = await speaking(format="wav")
    task = asyncio.create_task(spoken.synthesize(SENTENCE * 250))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seconds(await spoken.synthesize("Next.")) < 3
    stop = threading.Event()
    stop.set()
    assert speak(SENTENCE, "en", 175, voice.MAX_BYTES, stop) == b""


async def test_closing_ends_the_thread():
    spoken = await provider.open(context())
    await spoken.synthesize("One.")
    assert [t for t in threading.enumerate() if t.name.startswith("espeak")]
    await spoken.aclose()
    assert not [t for t in threading.enumerate() if t.name.startswith("espeak")]
