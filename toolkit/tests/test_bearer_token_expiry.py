"""A token ends by the database's time, and its streams end with it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from ragwork_testkit.database import FreshDatabase
from ragwork_testkit.process import PluginProcess, plugin_process
from ragwork_toolkit.bearer_tokens.expiry import ExpiredStreams, ExpiringToken
from ragwork_toolkit.bearer_tokens.format import TokenFormat
from ragwork_toolkit.bearer_tokens.lookup import TokenLookup

READ_AT = datetime(2026, 1, 1, tzinfo=UTC)


def token(token_id: str, lives_s: float | None, monotonic: float = 0.0) -> ExpiringToken:
    expires_at = None if lives_s is None else READ_AT + timedelta(seconds=lives_s)
    return ExpiringToken(
        tenant_id="a",
        id=token_id,
        digest=b"",
        expires_at=expires_at,
        read_at=READ_AT,
        read_monotonic=monotonic,
    )


@pytest.mark.parametrize(
    ("lives_s", "after_s", "expired"), [(60, 59.9, False), (60, 60, True), (None, 1e9, False)]
)
def test_a_token_ends_by_the_databases_time(lives_s: float | None, after_s: float, expired: bool) -> None:
    read = token("t", lives_s, monotonic=1000.0)
    assert read.expired(1000.0 + after_s) is expired
    assert read.now(1000.0 + after_s) == READ_AT + timedelta(seconds=after_s)


class Streams:
    """Streams of tokens whose rows are ``rows``."""

    def __init__(self, process: PluginProcess) -> None:
        services: Any = process
        self.rows: dict[str, ExpiringToken] = {}
        self.process = process
        self.cuts = process.streams.cuts
        cache = process.caches.cache("test.tokens", ttl_s=0)
        lookup: TokenLookup[ExpiringToken] = TokenLookup(TokenFormat("tst_"), b"p" * 32, cache, self.load)  # type: ignore[arg-type]
        self.expired = ExpiredStreams(services, lookup)

    async def load(self, token_id: str) -> ExpiringToken | None:
        return self.rows.get(token_id)

    def use(self, token_id: str, lives_s: float | None) -> None:
        self.rows[token_id] = token(token_id, lives_s, self.process.clock.monotonic())
        self.expired.note(self.rows[token_id])


@pytest.fixture
async def streams(database: FreshDatabase) -> AsyncIterator[Streams]:
    async with plugin_process(database.urls) as process:
        yield Streams(process)


async def test_streams_are_cut_once_when_their_token_expires(streams: Streams) -> None:
    for token_id, lives_s in (("short", 60), ("long", 600), ("endless", None)):
        streams.use(token_id, lives_s)
    await streams.expired.cut()
    assert streams.cuts == []
    streams.process.clock.ahead_s = 61
    await streams.expired.cut()
    await streams.expired.cut()
    assert streams.cuts == [("a", None, "short")]


async def test_a_token_whose_end_was_moved_goes_on_and_one_that_is_gone_does_not(streams: Streams) -> None:
    streams.use("moved", 60)
    streams.use("gone", 60)
    streams.rows["moved"] = attrs.evolve(streams.rows["moved"], expires_at=READ_AT + timedelta(seconds=120))
    del streams.rows["gone"]
    streams.process.clock.ahead_s = 61
    await streams.expired.cut()
    assert streams.cuts == [("a", None, "gone")]
    streams.process.clock.ahead_s = 121
    await streams.expired.cut()
    assert streams.cuts == [("a", None, "gone"), ("a", None, "moved")]


async def test_a_cut_that_fails_is_tried_again(streams: Streams) -> None:
    streams.use("short", 60)
    streams.process.clock.ahead_s = 61
    database, streams.process.db = streams.process.db, None  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        await streams.expired.cut()
    streams.process.db = database
    await streams.expired.cut()
    assert streams.cuts == [("a", None, "short")]
