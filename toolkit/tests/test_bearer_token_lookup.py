"""Tokens looked up: who is believed, what the others are answered, and in which steps."""

import hmac

import attrs
import pytest
from ragwork_hooks.errors import Problem
from ragwork_kernel.data.caches import KernelCaches
from ragwork_kernel.data.notifications import NotificationChannel
from ragwork_toolkit.bearer_tokens.format import TokenFormat, digest
from ragwork_toolkit.bearer_tokens.lookup import TokenLookup, authenticate

FORM, PEPPER = TokenFormat("tst_"), b"p" * 32


@attrs.frozen
class Row:
    id: str
    digest: bytes


class Table:
    """Rows, and how often they were read."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.reads = 0
        self.away = False
        # Nobody announces changes here, so that the cache reads through.
        cache = KernelCaches(NotificationChannel("postgresql://nowhere")).cache("test.tokens", ttl_s=60)
        self.lookup: TokenLookup[Row] = TokenLookup(FORM, PEPPER, cache, self.load)  # type: ignore[arg-type]

    def mint(self) -> str:
        token_id, token = FORM.mint()
        self.rows[token_id] = Row(token_id, digest(PEPPER, token))
        return token

    async def load(self, token_id: str) -> Row | None:
        self.reads += 1
        if self.away:
            raise OSError("away")
        return self.rows.get(token_id)


async def refusal(table: Table, token: str) -> Problem:
    with pytest.raises(Problem) as refused:
        await authenticate(table.lookup, token, "AUTH_UNAUTHORIZED", "unknown")
    return refused.value


async def test_a_token_proves_its_row_and_no_other() -> None:
    table = Table()
    first, second = table.mint(), table.mint()
    assert (
        await authenticate(table.lookup, first, "AUTH_UNAUTHORIZED", "unknown")
        == (table.rows[FORM.id_of(first) or ""])
    )
    # Another token of the same id: known, but not proven.
    _, forged = FORM.mint()
    table.rows[FORM.id_of(forged) or ""] = table.rows[FORM.id_of(second) or ""]
    assert (await refusal(table, forged)).status == 401


async def test_a_malformed_token_is_refused_without_a_look_up() -> None:
    table = Table()
    for token in ("tst_", table.mint()[:-1] + "!", "tst_é", "tst_\ud800"):
        problem = await refusal(table, token)
        assert (problem.code, problem.tenant_id) == ("AUTH_UNAUTHORIZED", None)
        assert problem.headers == {"WWW-Authenticate": "Bearer"}
    assert table.reads == 0


async def test_an_unknown_id_is_compared_in_constant_time_like_a_known_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, compared, compare = Table(), [], hmac.compare_digest

    def recorded(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", recorded)
    await table.lookup.proven(table.mint())
    assert await table.lookup.proven(FORM.mint()[1]) is None
    assert compared == [(32, 32), (32, 32)]


async def test_a_token_that_was_unknown_is_believed_once_it_is_there() -> None:
    table = Table()
    token = table.mint()
    rows, table.rows = table.rows, {}
    assert await table.lookup.proven(token) is None
    table.rows = rows
    assert await table.lookup.proven(token) is not None


async def test_what_can_not_be_checked_is_denied() -> None:
    table = Table()
    token, table.away = table.mint(), True
    assert (await refusal(table, token)).code == "AUTH_UNAVAILABLE"
