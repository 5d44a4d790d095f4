"""A parsed file becomes one text whose pieces say where in the file they stand."""

from hypothesis import given
from hypothesis import strategies as st
from ragwork_documents.ingestion.chunker import split
from ragwork_documents.ingestion.file_text import rendered
from ragwork_hooks.parsing import Parsed, TextBlock

HANDBOOK = Parsed(
    blocks=[
        TextBlock(kind="heading", text="Leave", page=1),
        TextBlock(kind="paragraph", text="Everybody has 30 days.", headings=("Leave",), page=1),
        TextBlock(kind="list", text="paid\nunpaid", headings=("Leave",), page=2),
        TextBlock(kind="heading", text="Notice", headings=("Leave",), page=2),
        TextBlock(kind="table_row", text="a year | 4 weeks", columns=("After", "Notice"), page=2),
        TextBlock(kind="table_row", text="five | 8 weeks", columns=("After", "Notice"), page=2),
        TextBlock(kind="code", text="leave --days 3", page=3),
    ]
)
TEXT = """# Leave

Everybody has 30 days.

- paid
- unpaid

## Notice

| After | Notice |
| --- | --- |
| a year | 4 weeks |
| five | 8 weeks |

```
leave --days 3
```"""


def test_a_file_reads_as_markdown() -> None:
    assert rendered(HANDBOOK).text == TEXT


def test_a_place_names_pages_and_headings() -> None:
    file = rendered(HANDBOOK)
    start = file.text.index("Everybody")
    assert file.place(start, start + 5) == {"page": 1, "headings": ["Leave"]}
    assert file.place(start, file.text.index("unpaid") + 6) == {"pages": [1, 2], "headings": ["Leave"]}
    heading = file.text.index("## Notice")
    assert file.place(heading, heading + 9) == {"page": 2, "headings": ["Leave", "Notice"]}
    assert file.place(len(file.text), len(file.text) + 1) == {}


def test_rows_of_a_sheet_name_their_cells() -> None:
    rows = [
        TextBlock(
            kind="table_row",
            text=f"item {n} | {n}",
            columns=("Item", "No"),
            sheet="Stock",
            cells=f"A{n}:B{n}",
        )
        for n in range(2, 40)
    ]
    file = rendered(Parsed(blocks=rows))
    spans = list(split(file.text, 200, 0, markdown=True))
    places = [file.place(span.start, span.end) for span in spans]
    assert all(place["sheet"] == "Stock" for place in places)
    assert places[0]["cells"].startswith("A2:B")  # type: ignore[attr-defined]
    assert places[-1]["cells"].endswith(":B39")  # type: ignore[attr-defined]
    assert all(span.of(file.text).startswith("| Item | No |") for span in spans)


BLOCKS = st.builds(
    TextBlock,
    kind=st.sampled_from(["heading", "paragraph", "list", "table_row", "code"]),
    text=st.text(st.sampled_from("ab |#\n`-"), min_size=1, max_size=20),
    headings=st.just(()) | st.just(("H",)),
    page=st.none() | st.integers(1, 3),
    columns=st.just(()) | st.just(("c", "d")),
)


@given(st.lists(BLOCKS, max_size=8))
def test_every_block_is_somewhere_and_regions_do_not_overlap(blocks: list[TextBlock]) -> None:
    file = rendered(Parsed(blocks=blocks))
    assert [region.block for region in file.regions] == blocks
    ends = [0]
    for region in file.regions:
        assert ends[-1] <= region.start <= region.end <= len(file.text)
        ends.append(region.end)
