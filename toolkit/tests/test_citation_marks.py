"""Marks are found wherever the text that they stand in is cut."""

from ragwork_toolkit.citation_marks import Marks


def test_marks_survive_any_cut() -> None:
    text = "One [1], two [2, 3] and [9], not [x] or [1"
    for size in range(1, len(text)):
        marks = Marks(3)
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert [cite.passage for piece in pieces for cite in marks.after(piece)] == [1, 2, 3], size
