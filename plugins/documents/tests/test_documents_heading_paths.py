"""The headings above a place of a Markdown text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ragwork_documents.ingestion.heading_paths import HeadingPaths

TEXT = """Before any.

# Gates

First.

## Harbour ##

Opens at seven.

```sh
# no heading
```

After the code.

### Deep

Below.

## Castle

Opens at nine.

# Rules

Last."""


@pytest.mark.parametrize(
    ("at", "path"),
    [
        ("Before", ()),
        ("# Gates", ("Gates",)),
        ("First", ("Gates",)),
        ("Opens at seven", ("Gates", "Harbour")),
        ("# no heading", ("Gates", "Harbour")),
        ("After the code", ("Gates", "Harbour")),
        ("Below", ("Gates", "Harbour", "Deep")),
        ("Opens at nine", ("Gates", "Castle")),
        ("Last", ("Rules",)),
    ],
)
def test_a_place_has_the_headings_above_it(at, path):
    assert HeadingPaths(TEXT).at(TEXT.index(at)) == path


@given(st.text(alphabet="# a\n`~\t\r", max_size=80))
def test_any_text_has_a_path_everywhere(text):
    paths = HeadingPaths(text)
    for position in range(len(text) + 1):
        assert len(paths.at(position)) <= 6
