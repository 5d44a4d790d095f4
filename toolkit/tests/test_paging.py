"""Pages: a page knows of the next one by one row too many."""

import pytest
from ragwork_hooks.fields import FieldError
from ragwork_toolkit.paging import PageQuery, page_of


@pytest.mark.parametrize(("rows", "next_offset"), [(0, None), (1, None), (2, None), (3, 12)])
def test_another_page_follows_when_there_is_a_row_too_many(rows: int, next_offset: int | None) -> None:
    page = page_of(range(rows), PageQuery(limit=2, offset=10))
    assert page.items == [0, 1][:rows]
    assert page.next_offset == next_offset


def test_the_window_cuts_a_list_that_is_held_whole() -> None:
    assert list(range(10))[PageQuery(limit=3, offset=8).window] == [8, 9]


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": 201}, {"offset": -1}, {"offset": 1_000_001}])
def test_a_window_is_bounded(wrong: dict[str, int]) -> None:
    with pytest.raises(FieldError):
        PageQuery(**wrong)
