"""A third party's plugin: built as a wheel, installed alone, and run by the platform from there."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from uv import find_uv_bin

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        find_uv_bin(),
        "build",
        "--wheel",
        "--no-build-isolation",
        "--offline",
        "--python",
        sys.executable,
    ]
    subprocess.run([*command, "--out-dir", str(folder), str(HERE.parent)], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_code_the_types_marker_and_both_entry_points(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        sources = {
            f"ragwork_milvus/{path.name}" for path in (HERE.parent / "src/ragwork_milvus").glob("*.py")
        }
        assert {*sources, "ragwork_milvus/py.typed"} <= names
        (points,) = (archive.read(name).decode() for name in names if name.endswith("entry_points.txt"))
    assert "[ragwork.plugins]\nmilvus = ragwork_milvus:plugin" in points
    assert "[ragwork.retrieval]\nmilvus = ragwork_milvus.retriever:provider" in points


# Slow: installs a wheel and starts a server with it.
def test_the_platform_runs_the_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    site, tests = tmp_path / "site", tmp_path / "tests"
    tests.mkdir()
    command = [find_uv_bin(), "pip", "install", "--offline", "--no-deps", "--quiet"]
    subprocess.run([*command, "--python", sys.executable, "--target", str(site), str(wheel)], check=True)
    shutil.copy(HERE / "test_milvus_platform.py", tests)
    (tests / "test_whence.py").write_text(
        f"import ragwork_milvus\n\ndef test_whence():\n    assert ragwork_milvus.__file__.startswith({str(site)!r})\n"
    )
    run = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        "asyncio_mode=auto",
        str(tests),
    ]
    done = subprocess.run(
        run,
        env={**os.environ, "PYTHONPATH": str(site)},
        cwd=tests,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
