"""Rows and other records as objects, by the names of the fields: what is named the same is written once, in the class
(every plugin with tables).
"""

from functools import cache
from typing import TypeVar

import attrs
from ragwork_hooks.storage import Row

T = TypeVar("T", bound=attrs.AttrsInstance)


def from_row(cls: type[T], row: Row, **over: object) -> T:
    """``cls`` made of the row's columns by the names of its fields, but for those that ``over`` gives.

    Columns without a field are left out. Raises ``TypeError`` for a field that has neither a column nor a value in
    ``over``.
    """

    try:
        values = {name: row[name] for name in _names(cls) if name not in over}
    except KeyError as missing:
        columns, name = ", ".join(row.keys()), missing.args[0]
        raise TypeError(
            f"{cls.__name__}.{name} has no column {name!r}: the row has {columns};"
            " select it, or give the field's value"
        ) from None
    return cls(**values, **over)


def from_object(cls: type[T], source: object, **over: object) -> T:
    """``cls``, an answer as a rule, made of the attributes of ``source`` by the names of its fields, but for those that
    ``over`` gives.

    What ``source`` has beyond that is left out. Raises ``TypeError`` for a field that has neither an attribute nor a
    value in ``over``.
    """

    try:
        values = {name: getattr(source, name) for name in _names(cls) if name not in over}
    except AttributeError as missing:
        raise TypeError(
            f"{cls.__name__}.{missing.name} is no attribute of {type(source).__name__}: give the field's value"
        ) from None
    return cls(**values, **over)


@cache
def _names(cls: type[attrs.AttrsInstance]) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(cls))
