"""Redis keeps the contract of shared state, names keys without collisions, and leaves nothing for ever."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ragwork_hooks.infrastructure import StateProvider
from ragwork_hooks.storage import Bucket
from ragwork_redis.keys import Keys
from ragwork_redis.provider import provider
from ragwork_redis.state import RedisState
from ragwork_testkit.state import StateContract, Wait
from ragwork_testkit.valkey import ValkeyServer, free_port
from redis import Redis


class TestRedisState(StateContract):
    @pytest.fixture
    def wait(self) -> Wait:
        return asyncio.sleep


@pytest.fixture
def admin(valkey: ValkeyServer) -> Redis:
    return Redis.from_url(valkey.url)


async def test_the_provider_opens_a_state_that_answers(redis_url: str) -> None:
    assert isinstance(provider, StateProvider)
    async with provider.open(redis_url) as state:
        await provider.check(state)
        assert await state.increment("t", "n") == 1


async def test_everything_written_ends_by_itself(state: RedisState, admin: Redis, redis_url: str) -> None:
    await state.increment("t", "n", ttl_s=10)
    await state.take("t", [Bucket(key="b", rate=1e-6, burst=1e6), Bucket(key="c", rate=1e6, burst=9)], 3)
    await state.put("t", "v", b"x", float("inf"))
    await state.put_once("t", "w", b"x", 1e-9)
    await state.lock("t", "l", 10)
    await state.check()
    prefix = redis_url.partition("prefix=")[2].partition("&")[0]
    lives = {key: admin.pttl(key) for key in admin.scan_iter(match=f"{prefix}*")}
    assert len(lives) >= 6
    assert -1 not in lives.values()


async def test_a_bucket_leaves_the_store_once_it_is_full(
    state: RedisState, admin: Redis, redis_url: str
) -> None:
    prefix = redis_url.partition("prefix=")[2].partition("&")[0]
    await state.take("t", [Bucket(key="b", rate=100, burst=10)], 10)
    assert admin.exists(f"{prefix}:{{t}}:b:b")
    await asyncio.sleep(0.15)
    assert not admin.exists(f"{prefix}:{{t}}:b:b")


async def test_a_counter_beyond_the_whole_doubles_is_exact(state: RedisState) -> None:
    assert await state.increment("t", "n", by=2**53) == 2**53
    assert await state.increment("t", "n") == 2**53 + 1


async def test_what_a_client_sends_never_breaks_a_key(state: RedisState) -> None:
    for odd in ("", "\udcff", "a\r\nb", "{", "\x00", "k" * 10_000):
        assert await state.increment(odd, odd) == 1
        assert await state.put_once(odd, odd, b"", 5)


def test_a_clusters_hash_slot_is_one_for_all_of_a_scope(tmp_path_factory: pytest.TempPathFactory) -> None:
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    server = ValkeyServer(tmp_path_factory.mktemp("cluster"), options).start()
    keys, kinds = Keys("ragwork"), ("counter", "bucket", "value", "lock", "epoch")
    try:
        with Redis.from_url(server.url) as node:
            for scope in ("", "t1", "{}", "t}", "}{", "%"):
                names = [keys.of(kind, scope, key) for kind in kinds for key in ("", "a", "{b}", "}")]
                assert len({node.execute_command("CLUSTER", "KEYSLOT", name) for name in names}) == 1
    finally:
        server.kill()


_TEXTS = st.text(alphabet="{}%:ab", max_size=4)


@given(one=st.tuples(_TEXTS, _TEXTS), other=st.tuples(_TEXTS, _TEXTS))
def test_different_names_never_share_a_key(one: tuple[str, str], other: tuple[str, str]) -> None:
    keys = Keys("ragwork")
    assert (keys.of("value", *one) == keys.of("value", *other)) == (one == other)
    assert keys.of("value", *one) != keys.of("lock", *one)
