"""Sentences end where a reader would say so; in doubt they go on."""

import time
from pathlib import Path

import pytest
from ragwork_toolkit.sentences import Sentences

#: One text each; a bar where a sentence ends.
WHOLE = Path(__file__).with_name("sentences.txt").read_text("utf-8")


@pytest.mark.parametrize("line", WHOLE.splitlines())
def test_sentences_of_many_languages_end_where_they_end(line):
    parts = line.split("|")
    text = "".join(parts)
    wanted = [part.strip() for part in parts]
    text = " ".join(wanted) if " | " in line else text
    assert [text[start:end] for start, end in Sentences(text).spans()] == wanted


def test_a_range_is_read_within_its_text():
    text = "See Fig. 3 here. Then stop. Version 3.5 is out."
    assert list(Sentences(text).breaks(0, 4)) == []
    assert list(Sentences(text).breaks(5, 20)) == [(16, 17)]
    # What the range's end cuts off is no end of a sentence: "3." of "3.5".
    assert list(Sentences(text).breaks(20, text.index("3.5") + 2)) == [(27, 28)]


def test_nothing_is_lost_between_sentences():
    text = "  One.\n\nTwo!  Three"
    assert [text[a:b] for a, b in Sentences(text).spans()] == ["One.", "Two!", "Three"]
    assert list(Sentences(" \n ").spans()) == []


@pytest.mark.parametrize("unit", [".", ". ", "a. ", "3. ", '..."', "1.A ", "'. ", "\u2026 ", "A.B. "])
def test_hostile_texts_take_linear_time(unit):
    text = (unit * 100_000)[:200_000]
    started = time.perf_counter()
    list(Sentences(text).spans())
    assert time.perf_counter() - started < 3
