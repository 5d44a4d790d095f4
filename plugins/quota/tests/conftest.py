import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

_spec = importlib.util.spec_from_file_location("quota_stack", Path(__file__).parent / "quota_stack.py")
assert _spec is not None
assert _spec.loader is not None
quota_stack = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = quota_stack
_spec.loader.exec_module(quota_stack)


@pytest.fixture(scope="session")
def urls(postgres: Any) -> Iterator[Any]:
    """One database for all tests of the plugin: each has tenants of its own."""
    made = postgres.database(quota_stack.sources())
    with asyncio.Runner() as runner:
        yield runner.run(made.__aenter__()).urls
        runner.run(made.__aexit__(None, None, None))


@pytest.fixture
async def here(urls: Any) -> AsyncIterator[Any]:
    async with quota_stack.process(urls) as process:
        yield process


@pytest.fixture
async def elsewhere(urls: Any) -> AsyncIterator[Any]:
    async with quota_stack.process(urls) as process:
        yield process


@pytest.fixture
def tenant() -> str:
    found: str = quota_stack.new_tenant()
    return found
