"""Markdown is taken apart so that each candidate is a readable sentence and a verbatim piece."""

from itertools import pairwise

import pytest
from ragwork_extractive import display
from ragwork_extractive.sentences import MAX_CHARS, sentences


def shown(text):
    return [sentence.shown for sentence in sentences(0, text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One here. Two here! Three here? Four", ["One here.", "Two here!", "Three here?", "Four"]),
        ("It weighs 3.5 kg. See e.g. Fig. 3 for it.", ["It weighs 3.5 kg.", "See e.g. Fig. 3 for it."]),
        ("Use v1.2.3 of x.py now. Then stop.", ["Use v1.2.3 of x.py now.", "Then stop."]),
        ("Pens, ink, etc. Then paper.", ["Pens, ink, etc.", "Then paper."]),
        ('He said "stop." Then he left.', ['He said "stop."', "Then he left."]),
        ("A paragraph that\ngoes over lines. Next.", ["A paragraph that goes over lines.", "Next."]),
        ("> Quoted words\n> over lines.", ["Quoted words over lines."]),
        ("- first\n- [x] second\n  goes on\n1. third", ["first", "second goes on", "third"]),
        ("# Title\n\nBody text.\n---\nMore text.", ["Body text.", "More text."]),
        ("```sh\nmake test\n```\nText after.", ["make test", "Text after."]),
        ("```sh\nmake never closed", ["make never closed"]),
        ("| key | value |\n|:--|--:|\n| port | 8080 |", ["key: port; value: 8080"]),
        ("key | value\n--- | ---\nport | 8080\n\nAfter.", ["key: port; value: 8080", "After."]),
        ("The ports.\nkey | value\n:--|:-:\na | 1", ["The ports.", "key: a; value: 1"]),
        ("| | Mon | Tue |\n|-|-|-|\n| Aspen | 9 | |", ["Aspen; Mon: 9"]),
        ("| a |\n|---|\n| 1 |\n\n| x | y |", ["a: 1", "x: y"]),
        ("| 1 | 2 | 3 |", ["1: 2; 3"]),
        ("| c | m |\n|---|---|\n| `cat a \\| sort` | sorts |", ["c: cat a | sort; m: sorts"]),
        ("Title | rest\n---\nText.", ["Title | rest", "Text."]),
        ("Do this:\n\n- stop;\n- start.\n", ["Do this: stop; start", "stop;", "start."]),
        ("", []),
        ("\n\n  \n***\n", []),
    ],
)
def test_candidates_of_a_text(text, expected):
    assert shown(text) == expected


def test_each_candidate_is_a_verbatim_piece_in_order():
    text = "Intro one. Intro two.\n\n* item **bold**\n\n| a | b |\n|---|---|\n| `x` | y |\n"
    found = sentences(4, text)
    places = [text.index(sentence.quote) for sentence in found]
    assert all(a < b for a, b in pairwise(places))
    assert {sentence.passage for sentence in found} == {4}


def test_headings_and_table_headers_are_context():
    text = "# Guide\n## Ports\nThe first.\n## Limits\n| size | limit |\n|---|---|\n| big | 9 MB |\n"
    assert [sentence.above for sentence in sentences(0, text)] == ["Guide Ports", "Guide Limits size limit"]


def test_nothing_of_a_long_sentence_is_lost():
    lines = "\n".join(f"Part {n} costs {n}00 euro" for n in range(60))
    found = sentences(0, lines)
    assert all(f"Part {n} costs {n}00 euro" in " ".join(s.shown for s in found) for n in range(60))
    assert not any(s.quote.startswith(("art", "costs", "euro")) for s in found)


def test_what_the_border_of_the_passage_cuts_is_not_whole():
    found = sentences(0, "end of another one. A whole one. The beginning of a")
    assert [sentence.whole for sentence in found] == [False, True, False]


def test_no_candidate_is_longer_than_the_bound():
    found = sentences(0, "word " * 1000 + "\n\n" + "x" * 5000)
    assert found
    assert all(len(sentence.quote) <= MAX_CHARS for sentence in found)
    assert not any(sentence.quote.endswith("wor") for sentence in found)


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("**Bold**, _slanted_ and ~~gone~~ `code`", "Bold, slanted and gone code"),
        ("snake_case and 2 * 3 * 4", "snake_case and 2 * 3 * 4"),
        ('[label](http://x.example "title") ![picture](y.png)', "label picture"),
        ("<https://x.example/a> <b>fat</b> <PLACEHOLDER>", "https://x.example/a fat <PLACEHOLDER>"),
        ("<script src='x'>alert(1)</script>", "alert(1)"),
        ("seen in [12] and [x]", "seen in (12) and [x]"),
        ("`arr[1]` stays code", "`arr[1]` stays code"),
        ("`a_b_` `**kw` `__x__` `&lt;b&gt;` `<b>x</b>`", "a_b_ **kw __x__ &lt;b&gt; <b>x</b>"),
        ("`a   b` and ``x ` y`` and `` `z` ``", "a   b and x ` y and `z`"),
        ("*args, **kwargs, 2*3*4, *.py and __init__.py", "*args, **kwargs, 2*3*4, *.py and __init__.py"),
        ("`![x](http://evil.example/a)`", "`![x](http://evil.example/a)`"),
        ("call handlers[name](event) ***now***", "call handlers[name](event) now"),
        ("a ` b and &amp; c", "a ` b and &amp; c"),
        ("a\u202eb\u200bc\x07d\ud800e", "abcde"),
    ],
)
def test_markup_becomes_plain_text(markdown, expected):
    assert display.plain(markdown) == expected
