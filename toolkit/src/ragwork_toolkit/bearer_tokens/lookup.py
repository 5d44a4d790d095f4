"""Bearer tokens looked up: from a cache, in the same steps whether there is such a token or not.

Users: apikeys, scim, sso, agents.
"""

import hmac
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, Generic, Protocol, TypeVar

from ragwork_hooks.errors import Problem, unauthenticated
from ragwork_hooks.storage import Cache, Transaction

from ragwork_toolkit.bearer_tokens.format import TokenFormat, digest

# Compared with when there is no row, so that a made-up id takes the same steps as a real one.
_NO_DIGEST: Final = bytes(32)


class TokenRow(Protocol):
    """What is kept of a token."""

    @property
    def digest(self) -> bytes: ...


R = TypeVar("R", bound=TokenRow)


class TokenLookup(Generic[R]):
    """Tokens of one format, by id. ``load`` reads a row; that there is none is never kept."""

    def __init__(
        self, form: TokenFormat, pepper: bytes, cache: Cache[R], load: Callable[[str], Awaitable[R | None]]
    ) -> None:
        self._form = form
        self._pepper = pepper
        self._cache = cache
        self._load = load

    async def find(self, token_id: str) -> R | None:
        """The row of an id, usable or not, from a cache that any change reaches within 1 s."""
        return await self._cache.get_optional(token_id, lambda: self._load(token_id))

    async def proven(self, token: str) -> R | None:
        """The row that ``token`` proves, usable or not; whether it may be used is for the caller to judge."""
        token_id = self._form.id_of(token)
        if token_id is None:
            return None
        row = await self.find(token_id)
        kept = _NO_DIGEST if row is None else row.digest
        return row if hmac.compare_digest(digest(self._pepper, token), kept) else None

    async def forget(self, tx: Transaction, token_id: str) -> None:
        """Read the row anew, everywhere, when ``tx`` commits."""
        await self._cache.invalidate(tx, token_id)


async def authenticate(lookup: TokenLookup[R], token: str, code: str, message: str) -> R:
    """The row that ``token`` proves.

    Raises ``Problem`` 401 of ``code`` for a malformed or unknown token, 503 when it can't be checked.
    """
    with checking():
        row = await lookup.proven(token)
    if row is None:
        raise unauthenticated(code, message)
    return row


@contextmanager
def checking() -> Iterator[None]:
    """Whatever fails within denies: ``Problem`` 503 AUTH_UNAVAILABLE."""
    try:
        yield
    except Exception as error:
        raise Problem("AUTH_UNAVAILABLE", "credentials can't be checked at the moment") from error
