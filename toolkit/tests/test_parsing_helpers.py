"""What parsers share: blocks below their headings and within limits, archives that can't be bombs."""

import io
import zipfile

import pytest
from ragwork_hooks.parsing import ParseError, ParseLimits
from ragwork_toolkit.parsing.archives import Archive, refuse_entities
from ragwork_toolkit.parsing.block_list import BlockList, are_names, row_range


def archive(**members: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return made.getvalue()


def test_blocks_stand_below_their_headings() -> None:
    blocks = BlockList(ParseLimits())
    blocks.heading(2, "early")
    blocks.heading(1, "A", page=1)
    blocks.heading(3, " deep ")
    blocks.add("paragraph", "text", page=2)
    blocks.heading(2, "B")
    blocks.add("paragraph", " \n")
    blocks.heading(2, "  ")
    blocks.add("code", "x")
    blocks.leave(1)
    blocks.row(["a", " b \n c"], ("n", "m"), cells="A2:B2")
    assert [(b.text, b.headings, b.page) for b in blocks.blocks] == [
        ("early", (), None),
        ("A", (), 1),
        (" deep ", ("A",), None),
        ("text", ("A", "deep"), 2),
        ("B", ("A",), None),
        ("x", ("A",), None),
        ("a | b c", (), None),
    ]
    assert (blocks.blocks[-1].cells, blocks.blocks[-1].columns) == ("A2:B2", ("n", "m"))


def test_more_than_a_file_may_hold_is_refused_with_the_bound() -> None:
    blocks = BlockList(ParseLimits(rows=2, columns=2, characters=1_000))
    with pytest.raises(ParseError, match="more than 2 columns"):
        blocks.row(["a", "b", "c"])
    blocks.row(["a"])
    with pytest.raises(ParseError, match="more than 2 rows"):
        blocks.row(["b"])
    with pytest.raises(ParseError, match="more than 1,000 characters") as refused:
        blocks.add("paragraph", "x" * 1_000)
    assert refused.value.code == "resource_limit"


def test_ranges_are_named_as_spreadsheets_do() -> None:
    assert [row_range(2, last) for last in (1, 26, 27, 702, 703)] == [
        "A2:A2", "A2:Z2", "A2:AA2", "A2:ZZ2", "A2:AAA2"
    ]  # fmt: skip
    assert row_range(4, 5, 2) == "B4:E4"


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (["gate", "owner"], True),
        (["gate", ""], False),
        (["gate", "gate"], False),
        (["gate", "17"], False),
        (["gate", "1.234,50"], False),
        (["gate", "-5 %"], False),
        (["gate", "Q3 2026"], True),
        ([], False),
    ],
)
def test_a_row_of_names_is_told_from_a_row_of_values(cells: list[str], names: bool) -> None:
    assert are_names(cells) is names


def test_an_archive_is_read_by_names() -> None:
    made = Archive(archive(a=b"text", b=b""), ParseLimits())
    assert (made.names, made.read("a")) == (["a", "b"], b"text")
    with pytest.raises(ParseError, match="c is missing"):
        made.read("c")


@pytest.mark.parametrize(
    ("data", "code", "said"),
    [
        (b"no archive", "corrupt", "damaged"),
        (archive(a=b"text" * 100)[:60], "corrupt", "damaged"),
        (archive(**{f"m{number}": b"" for number in range(11)}), "resource_limit", "more than 10 files"),
        (archive(a=b"\0" * 20_000_000), "resource_limit", "unpacks to more than 10 MB"),
    ],
)
def test_an_archive_that_is_unsound_is_refused(data: bytes, code: str, said: str) -> None:
    with pytest.raises(ParseError) as refused:
        Archive(data, ParseLimits(members=10))
    assert (refused.value.code, said in refused.value.message) == (code, True), refused.value.message


def test_a_member_that_lies_about_its_size_is_damaged() -> None:
    data = bytearray(archive(a=b"\0" * 100_000))
    listed = data.rindex(b"PK\x01\x02")
    data[listed + 24 : listed + 28] = (10).to_bytes(4, "little")
    with pytest.raises(ParseError) as refused:
        Archive(bytes(data), ParseLimits()).read("a")
    assert refused.value.code == "corrupt"


def test_an_archive_with_a_password_is_told() -> None:
    data = bytearray(archive(a=b"text"))
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(ParseError) as refused:
        Archive(bytes(data), ParseLimits())
    assert refused.value.code == "encrypted"


def test_entities_are_refused() -> None:
    assert refuse_entities(b"<a/>") == b"<a/>"
    with pytest.raises(ParseError, match="entities"):
        refuse_entities(b'<!DOCTYPE a [<!ENTITY x "y">]><a/>')
