"""The grammar of scopes, and how long a token with them may live."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from ragwork_hooks.errors import Problem

DEFAULT_TTL_S: Final = 600
MIN_TTL_S: Final = 300
MAX_TTL_S: Final = 86_400
HIGH_RISK_TTL_S: Final = 900
MAX_SCOPES: Final = 100
_SEGMENT: Final = "[a-z0-9][a-z0-9_-]*"
_SCOPE: Final = re.compile(rf"{_SEGMENT}(?:[:.]{_SEGMENT})+", re.ASCII)
_HIGH_RISK: Final = frozenset({"write", "delete", "admin"})
_LONGEST: Final = 128


def parse(text: str) -> tuple[str, ...]:
    """The scopes of a space-separated list, without repeats, in order. Raises ``Problem`` 400 INVALID_SCOPE."""
    return checked(text.split(" ") if text.strip(" ") else ())


def checked(scopes: Iterable[str]) -> tuple[str, ...]:
    """The same for scopes one by one."""
    found = tuple(dict.fromkeys(scope for scope in scopes if scope))
    if len(found) > MAX_SCOPES:
        raise invalid_scope(f"{len(found)} scopes are asked for, at most {MAX_SCOPES} are taken")
    for scope in found:
        if len(scope) > _LONGEST or not _SCOPE.fullmatch(scope):
            raise invalid_scope(
                f"{scope[:60]!r} is no scope: lower case, at least two segments joined by ':' or '.', "
                "such as db:read"
            )
    return found


def action_of(scope: str) -> str:
    """The last segment."""
    return re.split("[:.]", scope)[-1]


def integration_of(scope: str) -> str:
    """The first segment."""
    return re.split("[:.]", scope)[0]


def lifetime(custom_s: int | None, scopes: Sequence[str]) -> int:
    """Seconds: the agent's own or 600, never more than 900 with a scope that writes, deletes or administers."""
    wanted = DEFAULT_TTL_S if custom_s is None else custom_s
    high_risk = any(action_of(scope) in _HIGH_RISK for scope in scopes)
    return min(wanted, HIGH_RISK_TTL_S) if high_risk else wanted


def invalid_scope(message: str) -> Problem:
    """400 INVALID_SCOPE."""
    return Problem("INVALID_SCOPE", message, status=400)
