"""Rego v0 written as v1: ``if`` before bodies, ``contains`` in the heads of sets."""

from collections.abc import Sequence

from ragwork_toolkit.rego.lexer import Token, tokens

#: After one of these an opening brace begins a value, not a rule's body. A word that is none of them ends a head.
_BEFORE_VALUES = frozenset({"if", "in", "contains", "default", "import", "package", "with", "as", "not"})


def modern(source: str) -> str:
    """``source`` with its v0 rules rewritten, line for line. What is v1 already stays as it is.

    Raises ``PolicySourceError`` for text that is no Rego in any dialect.
    """
    found = tokens(source)
    edits: list[tuple[int, int, str]] = []
    for at, token in enumerate(found):
        if token.depth == 0 and token.text == "{" and at and _ends_head(found, at):
            edits.append((token.start, token.start, "if "))
        if _begins_rule(found, at):
            edits += _set_head(found, at)
    for start, end, text in sorted(edits, reverse=True):
        source = source[:start] + text + source[end:]
    return source


def _ends_head(found: Sequence[Token], at: int) -> bool:
    """Whether the brace at ``at`` opens a body: it follows a name or a finished value, and no other body."""
    before = found[at - 1]
    if before.text == "}":
        return not _closes_body(found, at - 1)
    if before.kind == "mark":
        return before.text in ("]", ")")
    return before.text not in _BEFORE_VALUES


def _closes_body(found: Sequence[Token], at: int) -> bool:
    opening = next(n for n in range(at - 1, -1, -1) if found[n].text == "{" and found[n].depth == 0)
    before = found[opening - 1].text
    return before == "if" or _ends_head(found, opening) or before == "}"


def _begins_rule(found: Sequence[Token], at: int) -> bool:
    token = found[at]
    return token.kind == "word" and token.depth == 0 and token.first and token.text not in _BEFORE_VALUES


def _set_head(found: Sequence[Token], at: int) -> Sequence[tuple[int, int, str]]:
    """The edits that turn ``name[member]`` into ``name contains member``, unless a value is assigned to it."""
    if at + 1 >= len(found) or found[at + 1].text != "[" or found[at].text == "else":
        return ()
    closing = next(
        (n for n in range(at + 2, len(found)) if found[n].text == "]" and not found[n].depth), None
    )
    if closing is None:
        return ()
    after = found[closing + 1] if closing + 1 < len(found) else None
    if after is not None and not after.first and after.text != "{":
        return ()
    opens, closes = found[at + 1], found[closing]
    return ((opens.start, opens.end, " contains "), (closes.start, closes.end, ""))
