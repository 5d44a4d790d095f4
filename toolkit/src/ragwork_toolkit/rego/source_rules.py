"""What a policy's text may say: it stands alone, reads its input and nothing else, and reaches nothing."""

from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile
from typing import Final

import attrs
from ragwork_hooks.policy import PolicySourceError

from ragwork_toolkit.rego.lexer import Token, tokens

PACKAGE: Final = "oculus.authz"
MAX_SOURCE_BYTES: Final = 65_536
#: Names that begin so are ours: they tell which line allowed.
RESERVED: Final = "ragwork_"
_PACKAGE_TOKENS: Final = ["package", "oculus", ".", "authz"]


@attrs.frozen(kw_only=True)
class Module:
    """A policy's text ready to load, its line numbers those of what was written.

    ``head`` is where the package's name ends. ``explained`` is the same text with the set of the lines whose
    rules allow; ``None`` when no line can be told.
    """

    text: str
    head: int
    explained: str | None


def judged(source: str) -> Sequence[Token]:
    """The tokens of a policy that stands alone. Raises ``PolicySourceError`` for any other."""
    if len(source.encode("utf-8", "surrogatepass")) > MAX_SOURCE_BYTES:
        raise PolicySourceError(f"a policy is at most {MAX_SOURCE_BYTES} bytes long")
    found = tokens(source)
    _check_package(found)
    for at, token in enumerate(found):
        if token.kind == "word" and (reason := _forbidden(found, at)):
            raise PolicySourceError(reason, token.line, _column(source, token))
    return found


def module(source: str, package: str, lines: str) -> Module:
    """``source`` as the package ``package``, which alone it reads; ``lines`` names the set of lines.

    Raises ``PolicySourceError``.
    """
    found = judged(source)
    edits = [(at, at + len(PACKAGE), package) for at in _own_package(found)]
    edits += [(start, end, "") for start, end in _dialect_imports(found)]
    text = source
    for start, end, replacement in sorted(edits, reverse=True):
        text = text[:start] + replacement + text[end:]
    moved = tokens(text)
    rules = [rule for at in _allow_rules(moved) if (rule := _explaining(text, moved, at, lines))]
    head = found[1].start + len(package)
    return Module(text=text, head=head, explained="\n".join((text, *rules, "")) if rules else None)


def _check_package(found: Sequence[Token]) -> None:
    is_longer = len(found) > 4 and not found[4].first
    if [token.text for token in found[:4]] != _PACKAGE_TOKENS or is_longer or not _is_joined(found[1:4]):
        raise PolicySourceError(f"a policy begins with: package {PACKAGE}", found[0].line if found else 1, 1)


def _forbidden(found: Sequence[Token], at: int) -> str | None:
    """Why the word at ``at`` may not stand there."""
    text = found[at].text
    if text.startswith(RESERVED):
        return f"names that begin with {RESERVED} are reserved"
    if text == "package" and at:
        return "a policy has one package"
    if at and found[at - 1].text == ".":
        return None  # a field of something else
    following = [token.text for token in found[at + 1 : at + 3]]
    if text == "data" and not _is_own_data(found, at):
        return f"a policy reads its input only, no data but its own package {PACKAGE}"
    if text in ("http", "opa") and following[:1] in (["."], ["["]):
        return f"the functions of {text} reach outside the policy"
    if text == "net" and (following[:1] == ["["] or following == [".", "lookup_ip_addr"]):
        return "the network can't be asked"
    return None


def _is_own_data(found: Sequence[Token], at: int) -> bool:
    path = found[at : at + 5]
    return [token.text for token in path] == ["data", ".", "oculus", ".", "authz"] and _is_joined(path)


def _is_joined(path: Sequence[Token]) -> bool:
    return all(one.end == other.start for one, other in pairwise(path))


def _own_package(found: Sequence[Token]) -> Iterator[int]:
    """Where the package's name stands."""
    yield found[1].start
    for at, token in enumerate(found):
        if token.text == "data" and found[at - 1].text != "." and _is_own_data(found, at):
            yield found[at + 2].start


def _dialect_imports(found: Sequence[Token]) -> Iterator[tuple[int, int]]:
    """The imports that choose a dialect. The engine is told by other means, and refuses some of them twice."""
    for at, token in enumerate(found):
        if token.text != "import" or token.depth or not token.first:
            continue
        rest = list(takewhile(lambda each: not each.first, found[at + 1 :]))
        if [each.text for each in rest[:3]] in (["rego", ".", "v1"], ["future", ".", "keywords"]):
            yield token.start, rest[-1].end


def _allow_rules(found: Sequence[Token]) -> Iterator[int]:
    for at, token in enumerate(found):
        if token.text == "allow" and token.first and token.depth == 0:
            yield at


def _explaining(source: str, found: Sequence[Token], at: int, lines: str) -> str | None:
    """A rule that puts the line of the ``allow`` at ``at`` into the set ``lines`` when its first body holds."""
    head = f"{lines} contains {found[at].line}"
    at += 1
    if [token.text for token in found[at : at + 2]] in ([":=", "true"], ["=", "true"]):
        at += 2
    if at >= len(found) or found[at].first:
        return head
    if found[at].text != "if" or at + 1 >= len(found):
        return None
    return f"{head} if {source[found[at + 1].start : found[_last(found, at + 1)].end]}"


def _last(found: Sequence[Token], at: int) -> int:
    """The last token of the body that begins at ``at``."""
    if found[at].text == "{":
        return next((n for n in range(at + 1, len(found)) if found[n].text == "}" and not found[n].depth), at)
    for n in range(at + 1, len(found)):
        if found[n].depth == 0 and (found[n].text == "else" or _begins_line_anew(found, n)):
            return n - 1
    return len(found) - 1


def _begins_line_anew(found: Sequence[Token], at: int) -> bool:
    """Whether the token at ``at`` is the first of a rule, not what an operator of the line above waits for."""
    token, before = found[at], found[at - 1]
    is_continued = before.kind == "mark" and before.text not in ("}", "]", ")")
    return token.first and token.kind == "word" and token.text != "with" and not is_continued


def _column(source: str, token: Token) -> int:
    return token.start - (source.rfind("\n", 0, token.start) + 1) + 1
