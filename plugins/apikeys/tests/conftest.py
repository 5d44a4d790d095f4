from collections.abc import AsyncIterator, Iterator

import pytest
from ragwork_apikeys import plugin
from ragwork_directory import plugin as directory
from ragwork_hooks.storage import DatabaseUrls
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.process import PluginProcess, new_tenant, plugin_process, shared_database


@pytest.fixture(scope="session")
def urls(postgres: PostgresServer) -> Iterator[DatabaseUrls]:
    """One database for all tests of the plugin: each has tenants of its own."""
    with shared_database(postgres, directory, plugin) as urls:
        yield urls


@pytest.fixture
async def here(urls: DatabaseUrls) -> AsyncIterator[PluginProcess]:
    async with plugin_process(urls) as process:
        yield process


@pytest.fixture
async def elsewhere(urls: DatabaseUrls) -> AsyncIterator[PluginProcess]:
    async with plugin_process(urls) as process:
        yield process


@pytest.fixture
def tenant() -> str:
    return new_tenant()
