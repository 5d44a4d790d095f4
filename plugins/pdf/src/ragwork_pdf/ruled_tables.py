"""Tables by the lines that are drawn around their cells."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Final

import attrs

#: Lines that are nearer than this are one, and touch, in points.
_NEAR: Final = 3.0
#: A line has no more than this across, and this along.
_THIN: Final = 3.0
_LONG: Final = 6.0
#: More lines on a page are no tables.
_MAX_LINES: Final = 1_000


@attrs.frozen
class Box:
    """In points from the lower left corner of the page."""

    left: float
    bottom: float
    right: float
    top: float

    def holds(self, other: "Box") -> bool:
        """Whether the middle of ``other`` is within this."""
        x, y = (other.left + other.right) / 2, (other.bottom + other.top) / 2
        return self.left - _NEAR <= x <= self.right + _NEAR and self.bottom - _NEAR <= y <= self.top + _NEAR


@attrs.frozen
class Grid:
    """Where columns begin and end, from the left; where rows begin and end, from the top."""

    xs: Sequence[float]
    ys: Sequence[float]

    @property
    def box(self) -> Box:
        return Box(self.xs[0], self.ys[-1], self.xs[-1], self.ys[0])


@attrs.frozen
class _Ruling:
    """A line at ``at``, from ``start`` to ``end`` along it."""

    at: float
    start: float
    end: float


def grids(paths: Iterable[Any], size: tuple[float, float]) -> list[Grid]:
    """Tables with two rows and two columns at least."""
    across: list[_Ruling] = []
    down: list[_Ruling] = []
    for path in paths:
        left, bottom, right, top = path.get_bounds()
        width, height = right - left, top - bottom
        if width > size[0] * 0.98 and height > size[1] * 0.98:
            continue  # the paper
        if height <= _THIN and width >= _LONG:
            across.append(_Ruling((top + bottom) / 2, left, right))
        elif width <= _THIN and height >= _LONG:
            down.append(_Ruling((left + right) / 2, bottom, top))
        elif width >= _LONG and height >= _LONG:
            across += [_Ruling(bottom, left, right), _Ruling(top, left, right)]
            down += [_Ruling(left, bottom, top), _Ruling(right, bottom, top)]
    across, down = _merged(across), _merged(down)
    if not across or not down or len(across) + len(down) > _MAX_LINES:
        return []
    return [grid for group in _touching(across, down) if (grid := _grid(*group)) is not None]


def _merged(rulings: Iterable[_Ruling]) -> list[_Ruling]:
    """The borders of cells side by side as the one line that they are."""
    found: list[_Ruling] = []
    for ruling in sorted(rulings, key=lambda each: (round(each.at / _NEAR), each.start)):
        last = found[-1] if found else None
        if last is not None and abs(last.at - ruling.at) <= _NEAR and ruling.start <= last.end + _NEAR:
            found[-1] = _Ruling(last.at, min(last.start, ruling.start), max(last.end, ruling.end))
        else:
            found.append(ruling)
    return found


def _touching(
    across: Sequence[_Ruling], down: Sequence[_Ruling]
) -> Iterable[tuple[list[_Ruling], list[_Ruling]]]:
    """Lines that touch each other, directly or by others."""
    left_across, left_down = list(across), list(down)
    while left_across:
        rows, columns = [left_across.pop()], []
        has_grown = True
        while has_grown:
            more_down = [each for each in left_down if any(_touch(row, each) for row in rows)]
            left_down = [each for each in left_down if each not in more_down]
            columns += more_down
            more_across = [each for each in left_across if any(_touch(each, column) for column in columns)]
            left_across = [each for each in left_across if each not in more_across]
            rows += more_across
            has_grown = bool(more_down or more_across)
        yield rows, columns


def _touch(row: _Ruling, column: _Ruling) -> bool:
    return (
        row.start - _NEAR <= column.at <= row.end + _NEAR
        and column.start - _NEAR <= row.at <= column.end + _NEAR
    )


def _grid(rows: Sequence[_Ruling], columns: Sequence[_Ruling]) -> Grid | None:
    xs = _places(column.at for column in columns)
    ys = _places(row.at for row in rows)[::-1]
    return Grid(xs, ys) if len(xs) > 2 and len(ys) > 2 else None


def _places(values: Iterable[float]) -> list[float]:
    """In order, without those that are another one's neighbour."""
    ordered = sorted(values)
    return ordered[:1] + [value for before, value in pairwise(ordered) if value - before > _NEAR]
