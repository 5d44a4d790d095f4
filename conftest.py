"""Tests that need another program say which: they skip where it is missing, and run in CI."""

import logging
import os
import shutil
from collections.abc import Generator

import pytest

#: Set where every program has been installed: what is missing then is a failure.
REQUIRED = bool(os.environ.get("RAGWORK_REQUIRE_PROGRAMS"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    missing = [
        str(program)
        for mark in item.iter_markers("program")
        for program in mark.args
        if shutil.which(str(program)) is None
    ]
    if not missing:
        return
    reason = f"install {', '.join(missing)} to run this (.ci/install-programs does on Debian)"
    if REQUIRED:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """A file's contents are called by the parameter's name: a time in an archive would make an id in each process."""
    return argname if isinstance(val, bytes) and len(val) > 16 else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """A command that a test runs in this process sets up logging on a stream that ends with the test: the next test
    must not write to it.
    """
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        return (yield)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
