"""``REDIS_URL``: where the store is and how patient its client is."""

from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import attrs
from ragwork_hooks.errors import ConfigError
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

_SCHEMES: Final = ("redis", "rediss", "unix")
_EXAMPLE: Final = "write it like redis://:password@host:6379/0?timeout=0.25&prefix=ragwork"
_PREFIX: Final = "ragwork"
_TIMEOUT_S: Final = 0.25
_LONGEST_S: Final = 60.0


@attrs.frozen(kw_only=True)
class Address:
    """``url`` is what redis-py understands. ``timeout_s`` bounds every operation from end to end."""

    url: str = attrs.field(repr=False)
    prefix: str = _PREFIX
    timeout_s: float = _TIMEOUT_S

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Raises ``ConfigError``, which never shows the password."""
        try:
            parts = urlsplit(url)
            given = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        except ValueError:
            raise _wrong("is not a URL") from None
        if parts.scheme not in _SCHEMES:
            raise _wrong(f"begins with {parts.scheme!r}, not with one of {', '.join(_SCHEMES)}")
        prefix = given.pop("prefix", _PREFIX)
        if not prefix.isprintable() or not prefix or set(prefix) & set("{} "):
            raise _wrong(f"has the prefix {prefix!r}")
        timeout_s = _seconds(given.pop("timeout", None))
        rest = parts._replace(query=urlencode(given)).geturl()
        return cls(url=rest, prefix=prefix, timeout_s=timeout_s)

    def pool(self) -> BlockingConnectionPool:
        """A pool that has not connected yet. Raises ``ConfigError`` for an option that nobody knows."""
        try:
            pool = BlockingConnectionPool.from_url(
                self.url,
                protocol=3,
                socket_timeout=self.timeout_s,
                socket_connect_timeout=self.timeout_s,
                timeout=None,  # waiting for a connection is part of what an operation may take
                retry=Retry(NoBackoff(), 0),  # what may have happened must not be done twice
                maint_notifications_config=MaintNotificationsConfig(enabled=False),
            )
            pool.connection_class(**pool.connection_kwargs)
        except (TypeError, ValueError, RedisError) as error:
            raise _wrong(f"has an option that can't be used ({type(error).__name__})") from None
        return pool


def _seconds(text: str | None) -> float:
    if text is None:
        return _TIMEOUT_S
    try:
        seconds = float(text)
    except ValueError:
        raise _wrong(f"has the timeout {text!r}") from None
    if not 0 < seconds <= _LONGEST_S:
        raise _wrong(f"has the timeout {text!r}, which is not between 0 and {_LONGEST_S:g} seconds")
    return seconds


def _wrong(what: str) -> ConfigError:
    return ConfigError("REDIS_URL", what, _EXAMPLE)
