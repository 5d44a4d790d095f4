"""The recognizer ``pocketsphinx`` keeps the contract with speech of a real voice, and stays out of the way."""

import asyncio
import math
import threading
import time

import numpy as np
import pytest
from ragwork_espeak.config import EspeakConfig
from ragwork_espeak.voice import EspeakVoice
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.providers import ProviderContext
from ragwork_hooks.speech import Audio
from ragwork_pocketsphinx import wav_conversion
from ragwork_pocketsphinx.grammar import MAX_WORDS, grammar
from ragwork_pocketsphinx.recognizer import provider
from ragwork_testkit.services import ProviderServices
from ragwork_testkit.speech import PHRASES, SpeechRecognizerContract
from ragwork_testkit.wav import comment_of, silent, wav


async def say(text):
    voice = EspeakVoice(EspeakConfig(format="wav"), ProviderServices().shares("voice", 1, waiting=9))
    try:
        return await voice.synthesize(text)
    finally:
        await voice.aclose()


@pytest.fixture
async def ears():
    opened = await provider.open(ProviderContext(services=ProviderServices(), config=None))
    yield opened
    await opened.aclose()


class TestPocketSphinxContract(SpeechRecognizerContract):
    async def make(self):
        return await provider.open(ProviderContext(services=ProviderServices(), config=None))

    async def speak(self, text):
        return await say(text)


def of(data, mime="audio/wav"):
    return Audio(data=data, mime=mime)


def tone(hertz, rate, seconds=1.0, loudness=10_000):
    at = np.arange(int(rate * seconds)) / rate
    return (loudness * np.sin(2 * math.pi * hertz * at)).astype("<i2")


async def test_a_phrase_comes_back_as_it_was_spelled(ears):
    heard = await ears.recognize(await say("Open the last document."), tuple(PHRASES))
    assert heard == "Open the last document."


async def test_silence_is_an_empty_text(ears):
    # A microphone's noise in an empty room, in which the model hears a word.
    hiss = np.random.default_rng(1).normal(size=48_000)
    hiss -= hiss.mean()
    faint = wav((hiss / abs(hiss).max() * 50).astype("<i2").tobytes())
    for quiet in (silent(2), silent(0.01), faint):
        assert await ears.recognize(of(quiet)) == ""
        assert await ears.recognize(of(quiet), tuple(PHRASES)) == ""


async def test_noise_is_a_text(ears):
    noise = np.random.default_rng(7).integers(-32_768, 32_767, 32_000, dtype="<i2").tobytes()
    assert isinstance(await ears.recognize(of(wav(noise))), str)
    assert isinstance(await ears.recognize(of(wav(noise)), tuple(PHRASES)), str)


async def test_what_was_heard_before_makes_no_difference(ears):
    audio = await say("How many users are active?")
    first = await ears.recognize(audio)
    await ears.recognize(of(wav(tone(3_000, 16_000, 5, 30_000).tobytes())))
    await ears.recognize(audio, ("Open the last document.",))
    assert await ears.recognize(audio) == first


async def test_without_a_phrase_that_can_be_heard_the_language_model_listens(ears):
    audio = await say("How do I reset my password?")
    free = await ears.recognize(audio)
    assert free
    assert await ears.recognize(audio, ("zzyqx 42", "été")) == free


@pytest.mark.parametrize(
    ("data", "mime", "why"),
    [
        (wav(bytes(64_000), channels=2), "audio/wav", "mono"),
        (wav(bytes(64_000), bits=8), "audio/wav", "16-bit"),
        (silent(1, rate=8_000), "audio/wav", "sampling rate"),
        (silent(61), "audio/wav", "longer than 60 s"),
        (wav(b""), "audio/wav", "no sound"),
        (silent(1), "audio/mpeg", "by its type"),
    ],
)
async def test_audio_that_does_not_fit_is_refused_with_its_reason(ears, data, mime, why):
    with pytest.raises(ProviderError, match=why) as caught:
        await ears.recognize(of(data, mime))
    assert (caught.value.code, caught.value.retryable) == ("ASR_ERROR", False)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 44_099])
def test_resampling_keeps_a_tone_its_pitch_loudness_and_length(rate):
    heard = wav_conversion.resampled(tone(1_000, rate), rate)
    expected = tone(1_000, 16_000)
    middle = slice(2_000, 14_000)  # where the sound begins and ends it rings
    assert heard.dtype == np.int16
    assert len(heard) == pytest.approx(16_000, abs=400)
    assert np.abs(heard[middle].astype(int) - expected[middle]).max() < 200


def test_resampling_leaves_no_alias_of_what_is_too_high():
    assert np.abs(wav_conversion.resampled(tone(11_000, 44_100), 44_100)[1_000:-1_000]).max() < 200


def test_resampling_does_not_wrap_what_is_too_loud():
    square = np.where(np.arange(22_050) // 20 % 2, 32_767, -32_768).astype("<i2")
    heard = wav_conversion.resampled(square, 22_050)
    assert (heard.min(), heard.max()) == (-32_768, 32_767)


async def test_speech_at_other_rates_is_heard(ears):
    said = wav_conversion.read(await say("Open the last document."))
    fast = wav(np.repeat(said, 3).tobytes(), rate=48_000)
    assert "document" in await ears.recognize(of(fast), tuple(PHRASES))


def everything(_word):
    return True


@pytest.mark.parametrize(
    "hostile",
    ["a | b ; public <x> = c", "<NULL>", "{tag} a", "/* b */ a", "a\\", '"a" "b"', "[a] (b)*", "#JSGF V1.0;"],
)
def test_signs_of_the_grammar_are_never_passed_on(hostile):
    made = grammar([hostile, "fine"], everything)
    body = made.jsgf.removeprefix("#JSGF V1.0; grammar phrases; public <phrase> = ").removesuffix(" ;")
    assert set(body) <= set("abcdefghijklmnopqrstuvwxyz' |")
    assert body.count("|") == len(made.spelling) - 1


def test_words_are_normalised_and_phrases_keep_their_spelling():
    made = grammar(["Don\u2019t panic!", "don't PANIC", "at 9", "", "\u4f60\u597d"], everything)
    assert made.spelling == {"don't panic": "Don\u2019t panic!"}
    assert grammar(["at 9", "x" * 20_000], everything) is None
    assert grammar(["unknown word"], lambda word: word == "word") is None


@pytest.mark.parametrize("phrase", ["import a public document", "Don't panic.", "o'clock"])
async def test_words_that_mean_something_in_a_grammar_can_be_said(ears, phrase):
    assert await ears.recognize(await say(phrase), (phrase, "Open the last document.")) == phrase


async def test_as_many_words_as_allowed_are_listened_for_and_no_more(ears):
    names = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    phrases = [f"{a} {b} {c} {d}" for a in names for b in names for c in names for d in names]
    audio = await say("two three four five")
    assert isinstance(await ears.recognize(audio, phrases[: MAX_WORDS // 4]), str)
    with pytest.raises(ProviderError, match="2000 words"):
        await ears.recognize(audio, phrases[: MAX_WORDS // 4 + 1])


async def test_the_event_loop_stays_free_and_a_cancelled_call_stops_the_work(ears):
    short = await say("Open the last document.")
    begun = time.perf_counter()
    await ears.recognize(short, tuple(PHRASES))
    alone = time.perf_counter() - begun
    said = wav_conversion.read(await say("How many users are active? " * 20))
    # As long as is allowed: a quick machine hears half a minute in less than five seconds.
    long = said[: wav_conversion.MAX_SECONDS // 2 * 16_000].tobytes() * 2
    task = asyncio.create_task(ears.recognize(of(wav(long))))
    gaps, last, begun = [], time.perf_counter(), time.perf_counter()
    while last - begun < 1:
        await asyncio.sleep(0.001)
        gaps.append(time.perf_counter() - last)
        last = time.perf_counter()
    assert not task.done()
    assert sorted(gaps)[len(gaps) // 2] < 0.1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    begun = time.perf_counter()
    assert "document" in await ears.recognize(short, tuple(PHRASES))
    assert time.perf_counter() - begun < min(5, alone + 2)


async def test_closing_ends_the_thread():
    opened = await provider.open(ProviderContext(services=ProviderServices(), config=None))
    assert [t for t in threading.enumerate() if t.name.startswith("pocketsphinx")]
    await opened.aclose()
    assert not [t for t in threading.enumerate() if t.name.startswith("pocketsphinx")]


def test_the_comment_of_a_test_file_survives():
    assert comment_of(silent(1, comment="hello there")) == "hello there"
