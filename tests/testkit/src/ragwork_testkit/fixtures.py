"""Pytest fixtures, registered by installing this package.

``postgres`` is one real server per session; ``database`` a fresh one with the kernel's migrations;
``platform`` starts a platform: ``async with platform(plugins=…, settings=…) as app``. ``valkey`` is one real
Valkey per session, ``own_valkey`` one that a test may hurt. ``here`` and ``elsewhere`` are two processes on one
database, whose fixture ``urls`` a folder of tests gives, and ``tenant`` is one that no other test has.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TypeAlias

import pytest
import pytest_asyncio
from hypothesis import Phase, settings
from ragwork_hooks.storage import DatabaseUrls
from ragwork_kernel.data import migrations

from ragwork_testkit.contract_base import kit_test, weakened
from ragwork_testkit.database import FreshDatabase, PostgresServer
from ragwork_testkit.platform import Running, running
from ragwork_testkit.process import PluginProcess, new_tenant, plugin_process
from ragwork_testkit.promises import broken
from ragwork_testkit.quiet import listening
from ragwork_testkit.valkey import ValkeyServer

#: ``make test`` is the same on every run and quick; ``make prove`` looks much further, at random.
_PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
settings.register_profile("test", deadline=None, derandomize=True, max_examples=60, phases=_PHASES)
settings.register_profile("prove", deadline=None, max_examples=3000, phases=_PHASES)
settings.load_profile("prove" if os.environ.get("RAGWORK_PROVE") else "test")

StartProcess: TypeAlias = Callable[[DatabaseUrls], AbstractAsyncContextManager[PluginProcess]]


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Refuse to run when a contract was weakened: what passes then would prove nothing."""
    found = list(weakened(items))
    if found:
        raise pytest.UsageError("\n".join(found))


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """A kit's test says which promise was broken, and hears what is printed while it runs."""
    test = kit_test(pyfuncitem)
    if test is None:
        return (yield)
    try:
        with listening():
            return (yield)
    except Exception as error:
        raise broken(test, error) from error


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One embedded Postgres for the whole session."""
    server = asyncio.run(PostgresServer.start(tmp_path_factory.mktemp("postgres")))
    asyncio.run(server.skip_fsync())
    asyncio.run(server.hash_passwords_once())
    yield server
    asyncio.run(server.server.stop())


@pytest_asyncio.fixture
async def database(postgres: PostgresServer) -> AsyncIterator[FreshDatabase]:
    """A fresh database with the roles and the kernel's migrations."""
    async with postgres.database([migrations.KERNEL]) as fresh:
        yield fresh


@pytest.fixture
def platform(postgres: PostgresServer) -> Callable[..., AbstractAsyncContextManager[Running]]:
    """Starts platforms over fresh databases of the session's server."""
    return partial(running, postgres)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """One Valkey for the whole session: give each test a ``?prefix=`` of its own, and leave it running."""
    server = ValkeyServer(tmp_path_factory.mktemp("valkey")).start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def _own_valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    server = ValkeyServer(tmp_path_factory.mktemp("own_valkey"))
    yield server
    server.kill()


@pytest.fixture
def own_valkey(_own_valkey_server: ValkeyServer) -> ValkeyServer:
    """A Valkey that a module's tests may hurt: it runs at the start of each, as if new."""
    _own_valkey_server.kill()
    return _own_valkey_server.start()


@pytest.fixture
def start() -> StartProcess:
    """How ``here`` and ``elsewhere`` start on a database; a folder whose processes are of another kind says its own."""
    return plugin_process


@pytest_asyncio.fixture
async def here(urls: DatabaseUrls, start: StartProcess) -> AsyncIterator[PluginProcess]:
    async with start(urls) as process:
        yield process


@pytest_asyncio.fixture
async def elsewhere(urls: DatabaseUrls, start: StartProcess) -> AsyncIterator[PluginProcess]:
    """Another process on the database of ``here``."""
    async with start(urls) as process:
        yield process


@pytest.fixture
def tenant() -> str:
    """A tenant that no other test has."""
    return new_tenant()
