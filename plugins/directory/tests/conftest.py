import importlib.util
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

_spec = importlib.util.spec_from_file_location("identity_stack", Path(__file__).parent / "identity_stack.py")
assert _spec is not None
assert _spec.loader is not None
identity_stack = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = identity_stack
_spec.loader.exec_module(identity_stack)


@pytest.fixture
async def urls(postgres: Any) -> AsyncIterator[Any]:
    from ragwork_directory import plugin

    async with postgres.database(identity_stack.sources(plugin)) as fresh:
        yield fresh.urls


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
