"""Phase 0 of the boot: from configuration alone to connection strings, before any plugin."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import asyncpg
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.infrastructure import DatabaseProvider, StateProvider
from ragwork_hooks.operations import HealthCheck
from ragwork_hooks.storage import DatabaseUrls, SharedState

from ragwork_kernel.base import discovery
from ragwork_kernel.base.config import KernelConfig
from ragwork_kernel.boot.leaving import AtWorst
from ragwork_kernel.data import roles
from ragwork_kernel.data.absent_state import AbsentState

GROUP = "ragwork.database"
STATE_GROUP = "ragwork.state"
EMBEDDED = "embedded"
MEMORY = "memory"
PATIENCE_S = 30.0
_PREPARED = """SELECT to_regtype('public.vector') IS NOT NULL
    AND has_database_privilege($1, current_database(), 'CREATE')"""

log = logging.getLogger(__name__)


@asynccontextmanager
async def database(
    config: KernelConfig,
    data_dir: Path,
    *,
    over_tcp: bool = False,
    patience_s: float = PATIENCE_S,
    at_worst: AtWorst | None = None,
) -> AsyncIterator[DatabaseUrls]:
    """The roles' connection strings; starts and stops the embedded server when no DSN is configured.

    ``over_tcp`` asks for strings that any client understands, rather than the fastest. A configured server
    that does not answer yet is asked again for ``patience_s`` seconds. ``at_worst`` is told how to stop the
    embedded one when this block can't be left.
    """
    if config.database_url is None:
        async with _embedded(data_dir, over_tcp, at_worst) as urls:
            yield urls
    else:
        yield await _configured(config, config.database_url, patience_s)


@asynccontextmanager
async def shared_state(config: KernelConfig) -> AsyncIterator[tuple[SharedState, tuple[HealthCheck, ...]]]:
    """Shared state and its probes: in this process, or what the scheme of ``REDIS_URL`` names."""
    name = MEMORY if config.redis_url is None else _store_of(config.redis_url)
    if config.redis_url is None and name not in discovery.installed(STATE_GROUP):
        log.warning("nothing installed keeps shared state: install ragwork-memory, or set REDIS_URL")
        yield AbsentState(), ()
        return
    missing = ConfigError(
        "REDIS_URL",
        f"is set and nothing installed keeps state in {name!r}",
        "install ragwork-redis, or unset it to keep shared state in this process",
    )
    provider: StateProvider = discovery.needed(STATE_GROUP, name, missing)
    async with provider.open(config.redis_url or "") as state:
        check = provider.check
        yield state, () if check is None else (HealthCheck(component=name, check=partial(check, state)),)


def _store_of(url: str) -> str:
    scheme = url.partition(":")[0]
    return "redis" if scheme in ("redis", "rediss", "unix") else scheme


@asynccontextmanager
async def _embedded(data_dir: Path, over_tcp: bool, at_worst: AtWorst | None) -> AsyncIterator[DatabaseUrls]:
    missing = ConfigError(
        "DATABASE_URL",
        "is unset and no embedded database is installed",
        "set DATABASE_URL, or install ragwork-embedded",
    )
    provider: DatabaseProvider = discovery.needed(GROUP, EMBEDDED, missing)
    server = provider.open(data_dir)
    if at_worst is not None:
        at_worst.append(server.stop)
    admin = await server.start()
    try:
        urls = roles.derived(admin if over_tcp else server.socket_url or admin)
        if not await _reachable(urls):
            await roles.prepare(admin, urls)
        yield urls
    finally:
        await asyncio.shield(server.stop())


async def _configured(config: KernelConfig, url: str, patience_s: float) -> DatabaseUrls:
    app = roles.normalise(url)
    owner = config.database_owner_url and roles.normalise(config.database_owner_url)
    dispatcher = config.database_dispatcher_url and roles.normalise(config.database_dispatcher_url)
    await _wait_for(owner or app, patience_s)
    if owner is not None:
        urls = DatabaseUrls(app=app, owner=owner, dispatcher=dispatcher)
        if not await _reachable(urls):
            await roles.prepare(owner, urls)
    elif not config.production and await roles.is_administrator(app):
        urls = roles.derived(app)
        if not await _reachable(urls):
            await roles.prepare(app, urls)
    else:
        urls = DatabaseUrls(app=app, owner=None, dispatcher=dispatcher)
    await roles.check_app(urls.app)
    return urls


async def _reachable(urls: DatabaseUrls) -> bool:
    """Whether the roles exist already: the usual case costs one connection."""
    for dsn in {urls.app, urls.dispatcher or urls.app}:
        try:
            connection = await asyncpg.connect(dsn, timeout=5)
        except (asyncpg.PostgresError, OSError, TimeoutError):
            return False
        usable = await connection.fetchval(_PREPARED, roles.OWNER)
        await connection.close()
        if not usable:
            return False
    return True


async def _wait_for(dsn: str, patience_s: float) -> None:
    """Back off while the server is not up yet, as in a compose start; then say what is wrong."""
    loop = asyncio.get_running_loop()
    give_up, delay = loop.time() + patience_s, 0.2
    while loop.time() < give_up:
        try:
            connection = await asyncpg.connect(dsn, timeout=5)
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError) as error:
            log.warning("the database does not answer yet (%s); next try in %.1f s", error, delay)
            await asyncio.sleep(delay)
            delay = min(delay * 2, 5.0)
            continue
        except asyncpg.PostgresError:
            return  # it answers: what it says is reported by the first real use
        with contextlib.suppress(OSError, asyncpg.PostgresError):
            await connection.close()
        return
