"""SCIM filters and sort orders as parameterised SQL.

The grammar and the typed tree are those of scim2-models; here each node becomes SQL. No text of a client is
ever part of the SQL: attributes are looked up, values are parameters.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

import attrs
from pydantic import ValidationError
from scim2_models import AttributeBinding, Path, Resource, SCIMException, ScimFilter
from scim2_models.path import (
    AttrPath,
    CompareOperator,
    Comparison,
    FilterNode,
    FilterVisitor,
    LogicalExpr,
    LogicalOperator,
    Not,
    Present,
    ValuePath,
    coerce_value,
)

from ragwork_scim.protocol.columns import EXTENSION, Columns, Rows
from ragwork_scim.protocol.error_format import query_invalid

#: Longest filter in characters, and most comparisons in one: what a request may cost is bounded.
MAX_LENGTH: Final = 2_000
MAX_TERMS: Final = 40
_FALSE: Final = "false"
_ORDER: Final = {
    CompareOperator.gt: ">",
    CompareOperator.ge: ">=",
    CompareOperator.lt: "<",
    CompareOperator.le: "<=",
}
_TEXT: Final[dict[CompareOperator, Callable[[str, str], str]]] = {
    CompareOperator.co: lambda x, p: f"strpos({x}, {p}) > 0",
    CompareOperator.sw: lambda x, p: f"starts_with({x}, {p})",
    CompareOperator.ew: lambda x, p: f"right({x}, char_length({p})) = {p}",
}


@attrs.frozen
class Condition:
    """SQL that is true or false, never null, and its parameters from ``$1`` on."""

    sql: str
    parameters: tuple[object, ...]


@attrs.frozen(kw_only=True)
class ResourceRange:
    """Up to ``limit`` of the rows that meet ``where``, from ``offset`` on; ``order`` is SQL of ours."""

    where: Condition
    order: str
    limit: int
    offset: int

    @property
    def sql(self) -> str:
        """What stands behind WHERE."""
        return f"{self.where.sql} ORDER BY {self.order} LIMIT {self.limit:d} OFFSET {self.offset:d}"


def condition(
    model: type[Resource[Any]], columns: Columns, text: str | None, *, lenient: bool = False
) -> Condition:
    """``text`` as SQL; without a filter all match. Raises ``Problem`` 400 invalidFilter.

    An attribute that ``model`` lacks is refused; ``lenient``, as over several types (RFC 7644 §3.4.2.1),
    what is said of it is false.
    """
    if text is None:
        return Condition("true", ())
    if len(text) > MAX_LENGTH:
        raise query_invalid("invalidFilter", f"the filter has more than {MAX_LENGTH} characters")
    try:
        bound = ScimFilter.__class_getitem__(model)(text)
        compiler = _Compiler(bound, columns, lenient=lenient)
        sql = compiler.visit(bound.ast)
    except (SCIMException, ValidationError, ValueError, RecursionError) as error:
        detail = error.detail if isinstance(error, SCIMException) else "it can't be read"
        raise query_invalid("invalidFilter", f"the filter is not valid: {detail}") from None
    return Condition(sql, tuple(compiler.parameters))


def order(model: type[Resource[Any]], columns: Columns, sort_by: str | None, descending: bool) -> str:
    """What stands behind ORDER BY: always the same for the same rows. Raises ``Problem`` 400 invalidPath."""
    fallback = f"{columns.alias}.created_at, {columns.alias}.id"
    if sort_by is None:
        return fallback
    try:
        path = Path.__class_getitem__(model)(sort_by)
        binding = path.resolve() if path.value_filter is None else None
    except (SCIMException, ValueError):
        binding = None
    if binding is None:
        raise query_invalid("invalidPath", f"sortBy {sort_by[:100]!r} names no attribute")
    expression = _sort_value(columns, binding)
    # RFC 7644 §3.4.2.3: what has no value comes last, first when descending.
    return f"{expression} {'DESC NULLS FIRST' if descending else 'ASC NULLS LAST'}, {fallback}"


def _sort_value(columns: Columns, binding: AttributeBinding) -> str:
    names = _names(binding)
    if not binding.is_multivalued:
        if binding.target_type not in (str, bool, datetime) and not _is_text(binding):
            raise query_invalid("invalidPath", f"sortBy: sort by a part of {names[-1]}")
        return _collated(binding, _scalar(columns, binding))
    rows = _rows(columns, names[0])
    part = names[1] if len(names) > 1 else ("" if "" in rows.part else "value")
    if rows.document and part == "value" and "value" not in getattr(binding.field_type, "model_fields", ()):
        raise query_invalid("invalidPath", f"sortBy: sort by a part of {names[0]}")
    value = _part(rows, part, binding)
    ranked = "(e.v->>'primary') = 'true' DESC NULLS LAST, e.n" if rows.document else rows.order
    source = rows.source.replace("AS e(v)", "WITH ORDINALITY AS e(v, n)") if rows.document else rows.source
    return f'(SELECT {value} FROM {source} ORDER BY {ranked} LIMIT 1) COLLATE "C"'  # noqa: S608  # names come from schemas


class _Compiler(FilterVisitor[str]):
    """Node → SQL. ``selected`` is the attribute whose values a value selection is looking at."""

    def __init__(self, bound: ScimFilter[Any], columns: Columns, *, lenient: bool) -> None:
        self._filter = bound
        self._lenient = lenient
        self._columns = columns
        self._selected: tuple[AttrPath, Rows] | None = None
        self._terms = 0
        self.parameters: list[object] = []

    def visit_logical_expr(self, node: LogicalExpr) -> str:
        joiner = " AND " if node.op == LogicalOperator.and_ else " OR "
        return "(" + joiner.join(self.visit(term) for term in node.terms) + ")"

    def visit_not(self, node: Not) -> str:
        return f"(NOT {self.visit(node.expr)})"

    def visit_value_path(self, node: ValuePath) -> str:
        binding = self._bind(node.attr_path, Present(node.attr_path))
        if binding is None:
            return _FALSE
        rows = _rows(self._columns, _names(binding)[0])
        self._selected = (node.attr_path, rows)
        inner = self.visit(node.val_filter)
        self._selected = None
        return _exists(rows.source, inner)

    def visit_present(self, node: Present) -> str:
        self._count()
        binding = self._bind(node.attr_path, node)
        if binding is None:
            return _FALSE
        names = _names(binding)
        if self._selected is not None:
            return _present(binding, _part(self._selected[1], names[-1], binding))
        if names == ["meta"]:
            return "true"
        if not binding.is_multivalued:
            return self._present_single(binding, names)
        rows = _rows(self._columns, names[0])
        if len(names) > 1 or "" in rows.part:
            part = names[1] if len(names) > 1 else ""
            return _exists(rows.source, _present(binding, _part(rows, part, binding)))
        return _exists(rows.source, _filled("e.v") if rows.document else "true")

    def visit_comparison(self, node: Comparison) -> str:
        self._count()
        binding = self._bind(node.attr_path, node)
        if binding is None:
            return _FALSE
        value = self._value(binding, node)
        names = _names(binding)
        if self._selected is not None:
            rows = self._selected[1]
            return self._compare(binding, node.op, value, _part(rows, names[-1], binding))
        if not binding.is_multivalued:
            return self._compare(binding, node.op, value, _scalar(self._columns, binding))
        rows = _rows(self._columns, names[0])
        part = _part(rows, names[1] if len(names) > 1 else "", binding)
        return self._compare_any(binding, node.op, value, rows, part)

    def _present_single(self, binding: AttributeBinding, names: list[str]) -> str:
        if _is_text(binding) or binding.target_type in (bool, datetime):
            return _present(binding, _scalar(self._columns, binding))
        return _filled(_document(self._columns, binding, names, as_text=False))

    def _compare_any(
        self, binding: AttributeBinding, op: CompareOperator, value: object, rows: Rows, part: str
    ) -> str:
        """A multi-valued attribute matches when any value does; with ``ne``, when none equals."""
        if value is None:
            lacking = _exists(rows.source, f"{part} IS NULL")
            some = _exists(rows.source, "true")
            if op == CompareOperator.eq:
                return f"(NOT {some} OR {lacking})"
            return f"({some} AND NOT {lacking})" if op == CompareOperator.ne else _FALSE
        if op == CompareOperator.ne:
            return f"(NOT {_exists(rows.source, self._compare(binding, CompareOperator.eq, value, part))})"
        return _exists(rows.source, self._compare(binding, op, value, part))

    def _compare(self, binding: AttributeBinding, op: CompareOperator, value: object, expression: str) -> str:
        if value is None:
            negated = {CompareOperator.eq: "", CompareOperator.ne: " NOT"}.get(op)
            return _FALSE if negated is None else f"({expression} IS{negated} NULL)"
        if op in _TEXT and not _is_text(binding):
            return _FALSE
        parameter = self._parameter(value)
        if op == CompareOperator.ne:
            return f"({expression} IS DISTINCT FROM {parameter})"
        if op == CompareOperator.eq:
            found = f"{expression} = {parameter}"
        elif op in _ORDER:
            found = f"{_collated(binding, expression)} {_ORDER[op]} {parameter}"
        else:
            found = _TEXT[op](expression, parameter)
        return f"COALESCE({found}, false)"

    def _value(self, binding: AttributeBinding, node: Comparison) -> object:
        """The operand as its column wants it."""
        if not _is_text(binding) and binding.target_type not in (bool, datetime):
            raise ValueError("a whole can't be compared")
        value = coerce_value(binding, node.value, node.op)
        if isinstance(value, Enum):
            value = value.value
        if isinstance(value, datetime) and value.tzinfo is None:
            return value.replace(tzinfo=UTC)
        if isinstance(value, str):
            if "\x00" in value:
                raise ValueError("NUL is in no attribute")
            value.encode()  # a lone surrogate can't be sent, and raises ValueError
            return str(binding.comparable(str(value)))
        if value is not None and not isinstance(value, bool | datetime):
            raise ValueError("not a value of this attribute")
        return value

    def _bind(self, attr_path: AttrPath, node: FilterNode) -> AttributeBinding | None:
        """What an attribute path means; nothing only when lenient, else raises ``SCIMException``."""
        if self._selected is not None:
            outer = self._selected[0]
            attr_path = AttrPath(attr=outer.attr, sub_attr=attr_path.attr, uri=outer.uri)
        resolve = self._filter.resolve_comparison if isinstance(node, Comparison) else self._filter.resolve
        return resolve(attr_path, strict=not self._lenient)

    def _parameter(self, value: object) -> str:
        self.parameters.append(value)
        kind = {bool: "boolean", datetime: "timestamptz"}.get(type(value), "text")
        return f"${len(self.parameters)}::{kind}"

    def _count(self) -> None:
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise query_invalid("invalidFilter", f"the filter has more than {MAX_TERMS} comparisons")


def _names(binding: AttributeBinding) -> list[str]:
    """The attribute's name and its sub-attribute's: ``urn:…:User:emails.type`` is emails and type."""
    return binding.urn.rpartition(":")[2].split(".")


def _is_text(binding: AttributeBinding) -> bool:
    kind = binding.target_type
    return isinstance(kind, type) and issubclass(kind, str)


def _rows(columns: Columns, name: str) -> Rows:
    """The values of the multi-valued attribute ``name``, whose name comes from a schema."""
    known = columns.many.get(name.lower())
    if known is not None:
        return known
    return Rows(source=f"jsonb_array_elements({columns.folded}->'{name}') AS e(v)", document=True)


def _part(rows: Rows, name: str, binding: AttributeBinding) -> str:
    """One value's sub-attribute."""
    if not rows.document:
        return rows.part[name.lower()]
    return _typed(binding, f"e.v->>'{name or 'value'}'")


def _scalar(columns: Columns, binding: AttributeBinding) -> str:
    names = _names(binding)
    known = columns.scalars.get(".".join(names).lower())
    return known or _typed(binding, _document(columns, binding, names, as_text=True))


def _document(columns: Columns, binding: AttributeBinding, names: list[str], *, as_text: bool) -> str:
    """What a document says of a single-valued attribute; names come from a schema."""
    base = columns.exact if binding.case_exact else columns.folded
    keys = [*([EXTENSION] if binding.urn.startswith(EXTENSION) else []), *names]
    steps = "".join(f"->'{key}'" for key in keys[:-1])
    return f"({base}{steps}{'->>' if as_text else '->'}'{keys[-1]}')"


def _typed(binding: AttributeBinding, expression: str) -> str:
    return f"({expression})::boolean" if binding.target_type is bool else f"({expression})"


def _collated(binding: AttributeBinding, expression: str) -> str:
    """Text is ordered by code points, in every database alike."""
    return f'{expression} COLLATE "C"' if _is_text(binding) else expression


def _present(binding: AttributeBinding, expression: str) -> str:
    if _is_text(binding):
        return f"COALESCE({expression} <> '', false)"
    return f"({expression} IS NOT NULL)"


def _filled(document: str) -> str:
    return f"EXISTS (SELECT FROM jsonb_each_text({document}) AS t WHERE t.value <> '')"


def _exists(source: str, where: str) -> str:
    joiner = "AND" if " WHERE " in source else "WHERE"
    return f"EXISTS (SELECT FROM {source} {joiner} {where})"
