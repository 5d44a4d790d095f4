"""Lets the tests of this folder share ``job_bench`` and the fixtures of a sample plugin, and count connections."""

import sys
from pathlib import Path

import pytest
from ragwork_kernel.data import db
from ragwork_testkit.sample_plugin import home as home
from ragwork_testkit.sample_plugin import site as site

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def no_second_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits with a connection in hand waits like all: with a pool of one, for ever."""
    monkeypatch.setattr(db, "needs_second", lambda: False)
