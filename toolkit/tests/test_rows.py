"""A row or another object becomes an object by the names of its fields, or it says which is missing."""

import asyncpg
import attrs
import pytest
from ragwork_testkit.database import PostgresServer
from ragwork_toolkit.rows import from_object, from_row


@attrs.frozen(kw_only=True)
class Note:
    id: str
    tags: tuple[str, ...]
    text: str | None = None


async def test_fields_are_columns_of_their_name_and_what_is_given_goes_first(
    postgres: PostgresServer,
) -> None:
    connection = await asyncpg.connect(postgres.admin)
    row = await connection.fetchrow(
        "SELECT 'n1' AS id, ARRAY['a'] AS tags, NULL::text AS text, 1 AS needless"
    )
    short = await connection.fetchrow("SELECT 'n1' AS id, ARRAY['a'] AS tags")
    await connection.close()
    assert row is not None
    assert short is not None
    note = from_row(Note, row, tags=tuple(row["tags"]))
    assert note == Note(id="n1", tags=("a",), text=None)
    assert from_row(Note, short, text="t", tags=()) == Note(id="n1", tags=(), text="t")
    with pytest.raises(TypeError, match=r"^Note\.text has no column 'text': the row has id, tags;"):
        from_row(Note, short)


def test_a_value_without_a_field_is_an_error() -> None:
    with pytest.raises(TypeError, match="tag"):
        from_row(Note, {"id": "n", "tags": (), "text": None}, tag="t")


@attrs.frozen(kw_only=True)
class Draft:
    id: str
    words: list[str]
    tags: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return " ".join(self.words)


def test_fields_are_attributes_of_their_name_and_what_is_given_goes_first() -> None:
    draft = Draft(id="d1", words=["so", "it", "is"], tags=("a",))
    assert from_object(Note, draft) == Note(id="d1", tags=("a",), text="so it is")
    assert from_object(Note, draft, id="n1", text=None) == Note(id="n1", tags=("a",), text=None)
    with pytest.raises(TypeError, match=r"^Draft\.words is no attribute of Note: give the field's value$"):
        from_object(Draft, from_object(Note, draft))
    with pytest.raises(TypeError, match="word"):
        from_object(Note, draft, word="so")
