"""Database rows as objects, so that a column is one edit in the class and one in the SQL (every plugin with tables)."""

from typing import TypeVar

import attrs
from ragwork_hooks.storage import Row

T = TypeVar("T", bound=attrs.AttrsInstance)


def from_row(cls: type[T], row: Row, **over: object) -> T:
    """``cls`` made of the row's columns by the names of its fields, but for those that ``over`` gives.

    Columns without a field are left out. Raises ``TypeError`` for a field that has neither a column nor a value in
    ``over``.
    """
    values = dict(over)
    for field in attrs.fields(cls):
        if field.name not in over:
            try:
                values[field.name] = row[field.name]
            except KeyError:
                columns = ", ".join(row.keys())
                raise TypeError(
                    f"{cls.__name__}.{field.name} has no column {field.name!r}: the row has {columns};"
                    " select it, or give the field's value"
                ) from None
    return cls(**values)
