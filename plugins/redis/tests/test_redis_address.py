"""REDIS_URL is read strictly, and a wrong one is told without its password."""

import pytest
from ragwork_hooks.errors import ConfigError
from ragwork_redis.redis_url import Address


def test_what_is_ours_is_taken_and_the_rest_is_left_to_the_client() -> None:
    address = Address.parse("rediss://me:pw@host:6380/2?timeout=0.5&prefix=a:b&max_connections=7")
    assert (address.prefix, address.timeout_s) == ("a:b", 0.5)
    assert address.url == "rediss://me:pw@host:6380/2?max_connections=7"
    pool = address.pool()
    assert pool.max_connections == 7
    assert pool.connection_kwargs["socket_timeout"] == 0.5


def test_defaults() -> None:
    address = Address.parse("redis://localhost:6379/0")
    assert (address.prefix, address.timeout_s) == ("ragwork", 0.25)
    assert Address.parse("unix:///run/redis.sock?db=1").pool().connection_kwargs["path"] == "/run/redis.sock"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "begins with ''"),
        ("http://:sesame@host", "begins with 'http'"),
        ("redis://:sesame@host:no/0", "can't be used"),
        ("redis://:sesame@[host/0", "not a URL"),
        ("redis://:sesame@host/0?timeout=0", "timeout '0'"),
        ("redis://:sesame@host/0?timeout=nan", "timeout 'nan'"),
        ("redis://:sesame@host/0?timeout=soon", "timeout 'soon'"),
        ("redis://:sesame@host/0?timeout=61", "timeout '61'"),
        ("redis://:sesame@host/0?prefix=", "prefix ''"),
        ("redis://:sesame@host/0?prefix={a}", "prefix '{a}'"),
        ("redis://:sesame@host/0?tiemout=1", "can't be used"),
        ("redis://:sesame@host/0?max_connections=many", "can't be used"),
        ("redis://:sesame@host/0?=&", "not a URL"),
    ],
)
def test_a_wrong_address_stops_the_boot_and_keeps_its_password(url: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Address.parse(url).pool()
    assert caught.value.where == "REDIS_URL"
    assert says in str(caught.value)
    assert "sesame" not in str(caught.value)
    assert "sesame" not in repr(caught.value.__cause__)
