from collections.abc import Iterator

import pytest
from ragwork_directory import plugin
from ragwork_hooks.storage import DatabaseUrls
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.process import shared_database


@pytest.fixture(scope="session")
def urls(postgres: PostgresServer) -> Iterator[DatabaseUrls]:
    """One database for all tests of the plugin: each has tenants of its own."""
    with shared_database(postgres, plugin) as urls:
        yield urls
