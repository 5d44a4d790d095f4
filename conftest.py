"""Tests that need another program say which: they skip where it is missing, and run in CI."""

import os
import shutil

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
