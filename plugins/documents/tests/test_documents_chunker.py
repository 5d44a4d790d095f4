"""The chunker's promises, for any text."""

import itertools
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ragwork_documents.ingestion.chunker import Span, split
from ragwork_hooks.fields import is_visible

ALPHABET = st.sampled_from("ab .\n\r\t#!?。é\u0301\U0001f600\u2003\u202e-|\u200b")
TEXTS = st.one_of(st.text(max_size=400), st.text(ALPHABET, max_size=600))


def cut(text: str, size: int, overlap: int, markdown: bool = False) -> list[Span]:
    return list(split(text, size, overlap, markdown=markdown))


@settings(max_examples=400, deadline=None)
@given(text=TEXTS, size=st.integers(1, 80), data=st.data(), markdown=st.booleans())
@example(text="a" + " " * 500 + "b", size=10, data=None, markdown=False)
def test_chunks_cover_the_text_within_size_and_overlap(text, size, data, markdown):
    overlap = 4 if data is None else data.draw(st.integers(0, size - 1))
    spans = cut(text, size, overlap, markdown)
    covered = set()
    for span in spans:
        piece = text[span.start : span.end]
        assert 0 < len(span.of(text)) <= size
        assert piece == piece.strip()
        assert is_visible(piece)
        covered.update(range(span.start, span.end))
    assert not is_visible("".join(text[i] for i in range(len(text)) if i not in covered))
    for before, after in itertools.pairwise(spans):
        assert after.start > before.start
        assert after.end > before.end
        assert before.end - after.start <= overlap
    assert sum(len(span.of(text)) for span in spans) <= 3 * len(text)


@settings(max_examples=200, deadline=None)
@given(text=TEXTS, size=st.integers(1, 60))
def test_overlap_zero_shares_nothing(text, size):
    spans = cut(text, size, 0)
    assert all(a.end <= b.start for a, b in itertools.pairwise(spans))


def test_whitespace_alone_makes_no_chunk():
    assert cut(" \n\t\u2003 ", 10, 2) == []
    assert cut("", 10, 2) == []


def test_tiny_paragraphs_share_a_chunk():
    text = "\n\n".join(f"Paragraph {n}." for n in range(50))
    spans = cut(text, 200, 0)
    assert len(spans) <= len(text) // 150 + 1


def test_chunks_end_at_sentences_and_the_overlap_starts_at_one():
    text = " ".join(f"This is sentence number {n} of the text." for n in range(60))
    spans = cut(text, 300, 80)
    for span in spans:
        assert text[span.end - 1] == "."
        assert text[span.start : span.start + 7] == "This is"
    assert any(b.start < a.end for a, b in itertools.pairwise(spans))


def test_markdown_is_cut_before_headings():
    section = "Some words about it that go on for a while."
    text = "\n".join(f"## Part {n}\n\n{section}\n" for n in range(20))
    for span in cut(text, 150, 0, markdown=True):
        assert text[span.start :].startswith("## Part")


def test_a_word_longer_than_the_size_is_cut_hard():
    assert [s.end - s.start for s in cut("x" * 25, 10, 0)] == [10, 10, 5]


@pytest.mark.parametrize(("size", "overlap"), [(10, 10), (10, 11), (10, -1), (0, 0)])
def test_impossible_overlaps_are_refused(size, overlap):
    with pytest.raises(ValueError, match="overlap"):
        cut("text", size, overlap)


@pytest.mark.parametrize("unit", ["word ", "a. ", "x", "| a | b |\n|---|---|\n| c | d |\n", "- a\n", "\n\nb"])
@pytest.mark.parametrize("overlap", [600, 1199])
def test_pieces_are_bounded_by_the_text_whatever_the_overlap(unit, overlap):
    text = unit * (9_000 // len(unit))
    spans = cut(text, 1200, overlap, markdown=True)
    assert len(spans) <= 20
    assert sum(len(span.of(text)) for span in spans) <= 2 * len(text)


def table(header, divider, rows, line_end="\n"):
    return line_end.join((header, divider, *rows)) + line_end


ROWS = [f"| Part {n} | {100 + n} EUR | shelf {n} |" for n in range(60)]


@pytest.mark.parametrize("markdown", [True, False])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("header", "divider", "rows"),
    [
        ("| Name | Price | Place |", "|---|---|---|", ROWS),
        ("| Name | Price | Place |", "| :--- | :---: | ---: |", ROWS),
        ("Name | Price | Place", "--- | --- | ---", [row.strip("| ") for row in ROWS]),
        ("| Name |", "|---|", [f"| Part. Number {n} |" for n in range(60)]),
    ],
    ids=["plain", "aligned", "without outer bars", "one column"],
)
def test_a_piece_of_a_table_begins_at_a_row_below_the_header(header, divider, rows, line_end, markdown):
    before = "# Stock\n\nWhat there is. It is much.\n\n"
    text = before + table(header, divider, rows, line_end) + "\nAnd a word after it."
    pieces = [span.of(text) for span in cut(text, 400, 100, markdown)]
    assert len(pieces) > 2
    seen = []
    for piece in pieces:
        lines = [line.strip() for line in piece.splitlines()]
        seen += [line for line in lines if line in rows]
        if any(line in rows for line in lines):
            assert lines[lines.index(header) + 1] == divider
        assert all(line in rows for line in lines if "Part" in line)
    assert seen == rows


def test_a_header_longer_than_a_quarter_of_the_size_is_not_repeated():
    text = table("| " + " | ".join("column" for _ in range(20)) + " |", "|---|", ROWS)
    spans = cut(text, 400, 0)
    assert not any(span.header for span in spans)
    assert all(text[span.start :].startswith("|") for span in spans)


@pytest.mark.parametrize(
    "unit", ["|", "|-", "| \n", "-|\n", "a|b\n-|-", " ", "|\n-\t", "a|" + "-" * 500 + " " * 500]
)
def test_hostile_tables_take_linear_time(unit):
    text = (unit * 200_000)[:200_000]
    started = time.thread_time()
    cut(text, 1200, 150, markdown=True)
    assert time.thread_time() - started < 2


def test_a_piece_that_shows_nothing_is_left_out():
    text = "Seen.\n\n" + "\u200b" * 5_000 + "\n\nSeen, too."
    spans = cut(text, 400, 0)
    assert [text[s.start : s.end].strip("\u200b\n") for s in spans] == ["Seen.", "Seen, too."]


def test_a_million_characters_take_linear_time():
    text = ("word " * 30 + ".\n") * 6_600
    spans = cut(text, 1200, 150)
    assert 800 < len(spans) < 1_200


ITEMS = [f"- Gate {n}. It opens at {n} past noon; ask for key number {n}." for n in range(8)]
CODE = [f"    if gate == {n}: open(gate). # Comment {n}. See {n}" for n in range(10)]
FENCED = ["```python", "# Opens them. All of them", "def run(gate):", *CODE, "```"]


def around(block: list[str], before: int) -> str:
    """``block`` below its heading and a line that announces it, between sentences."""
    said = " ".join(f"Sentence {n} says little." for n in range(before))
    return f"{said}\n\n## The gates\n\nThese there are:\n\n" + "\n".join(block) + f"\n\n{said}"


@pytest.mark.parametrize("markdown", [True, False])
@pytest.mark.parametrize("before", range(1, 40, 3))
@pytest.mark.parametrize("block", [ITEMS, FENCED, [f"{n}. {item[2:]}" for n, item in enumerate(ITEMS)]])
def test_a_list_and_code_stay_whole_below_what_announces_them(block, before, markdown):
    text = around(block, before)
    whole = [piece for span in cut(text, 900, 200, markdown) if "\n".join(block) in (piece := span.of(text))]
    assert len(whole) == 1
    assert "## The gates\n\nThese there are:" in whole[0]


@pytest.mark.parametrize("markdown", [True, False])
@pytest.mark.parametrize("size", range(160, 420, 13))
@pytest.mark.parametrize(
    "block", [ITEMS, FENCED, ["* one\n  and more of it", *ITEMS, "  1. within. It goes on"]]
)
def test_longer_ones_are_cut_between_items_and_lines(block, size, markdown):
    text = around(block, 9)
    lines = [line.strip() for line in "\n".join(block).split("\n")]
    said = [
        line.strip() for span in cut(text, size, size // 3, markdown) for line in span.of(text).split("\n")
    ]
    assert [line for line in said if line and any(line in whole for whole in lines)] == lines


@pytest.mark.parametrize(
    "unit", ["```\n", "- a\n", "a:\n", "# a\n\n- b\n- c\n", "~~~\n```\n", " " * 50 + "-\n", "1)\n"]
)
def test_hostile_lists_and_fences_take_linear_time(unit):
    text = unit * (400_000 // len(unit))
    started = time.thread_time()
    cut(text, 1200, 150, markdown=True)
    assert time.thread_time() - started < 20
