"""The analyser as a table of examples: what must be found by what, and what must not."""

import time
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from ragwork_toolkit.text.analysers import ANALYSERS, analyser_of
from ragwork_toolkit.text.analysis import question_terms, term_counts
from ragwork_toolkit.text.languages import detect

_READ = (Path(__file__).parent / "terms.txt").read_text("utf-8")
TABLE = _READ.replace("\\u00ad", "\u00ad").replace("\\u202f", "\u202f")
FOUND, APART = (
    [line.split(" | ") for line in part.splitlines() if line and not line.startswith("#")]
    for part in TABLE.split("\n\n")
)


def shared(language: str, text: str, question: str) -> set[str]:
    return {text for text, stop in asked(language, question) if not stop} & set(term_counts(text, language))


def asked(language: str, question: str) -> dict[tuple[str, bool], int]:
    """Terms of a question in one language, whether each is a stop word, and how often it has it."""
    bit = 1 << ANALYSERS.index(analyser_of(language))
    return {
        (term.text, term.stop): times
        for term, times in question_terms(question).items()
        if term.analysers & bit
    }


@pytest.mark.parametrize(("language", "text", "question"), FOUND)
def test_what_is_found(language: str, text: str, question: str) -> None:
    assert shared(language, text, question)


@pytest.mark.parametrize(("language", "text", "question"), APART)
def test_what_is_told_apart(language: str, text: str, question: str) -> None:
    assert not shared(language, text, question)


def test_stop_words_are_terms_that_say_so() -> None:
    assert term_counts("to be or not to be", "en") == {"to": 2, "be": 2, "or": 1, "not": 1}
    assert asked("en", "be gone") == {("be", True): 1, ("gone", False): 1}


def test_a_shouted_text_has_no_abbreviations() -> None:
    assert set(term_counts("IT IS WHAT IT IS", "en")) == {"it", "is", "what"}


@given(st.text(max_size=300), st.sampled_from(ANALYSERS))
def test_every_text_has_terms_and_a_question_those_of_the_same_text(text: str, language: str) -> None:
    found = term_counts(text, language)
    assert all(found)
    assert {term for term, _ in asked(language, text)} <= set(found)


@given(st.text(max_size=100), st.text(max_size=100), st.sampled_from(ANALYSERS))
def test_a_text_keeps_its_terms_in_a_longer_one(one: str, other: str, language: str) -> None:
    assume(not one.isupper() and not f"{one}\n{other}".isupper())
    assert set(term_counts(one, language)) <= set(term_counts(f"{one}\n{other}", language))


def test_languages_without_rules_of_their_own_share_an_analyser() -> None:
    assert {analyser_of(language) for language in ("zh", "th", "ko", "sw", "")} == {""}
    assert analyser_of("de") == "de"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Where does the old harbour road end?", "en"),
        ("Wo endet die alte Hafenstraße?", "de"),
        ("Où finit la vieille route du port ?", "fr"),
        ("Где кончается старая дорога?", "ru"),
        ("旧港口路在哪里结束", "zh"),
        ("4711 / 0815 = 5.78", ""),
        ("", ""),
    ],
)
def test_the_language_of_a_text(text: str, language: str) -> None:
    assert detect(text) == language


def test_hostile_texts_take_linear_time() -> None:
    for unit in ("a", "a-", "_", "北", "e\u0301", "1,", "1,000", "aB", "C++"):
        started = time.thread_time()
        term_counts((unit * 300_000)[:300_000], "en")
        assert time.thread_time() - started < 3, unit
