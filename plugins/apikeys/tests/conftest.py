import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

_STACK = Path(__file__).parents[2] / "directory" / "tests" / "identity_stack.py"
_spec = importlib.util.spec_from_file_location("identity_stack", _STACK)
assert _spec is not None
assert _spec.loader is not None
identity_stack = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = identity_stack
_spec.loader.exec_module(identity_stack)


@pytest.fixture(scope="session")
def urls(postgres: Any) -> Iterator[Any]:
    """One database for all tests of the plugin: each has tenants of its own."""
    from ragwork_apikeys import plugin
    from ragwork_directory import plugin as directory

    made = postgres.database(identity_stack.sources(directory, plugin))
    with asyncio.Runner() as runner:
        yield runner.run(made.__aenter__()).urls
        runner.run(made.__aexit__(None, None, None))


@pytest.fixture
async def here(urls: Any) -> AsyncIterator[Any]:
    async with identity_stack.process(urls) as process:
        yield process


@pytest.fixture
async def elsewhere(urls: Any) -> AsyncIterator[Any]:
    async with identity_stack.process(urls) as process:
        yield process


@pytest.fixture
def tenant() -> str:
    found: str = identity_stack.new_tenant()
    return found
