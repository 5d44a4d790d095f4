"""What can be wrong before a start is named by ``doctor`` and by ``serve``, in one line with its fix."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from installed import NOBODY, Installed
from ragwork_testkit.database import PostgresServer

ROOT = Path(__file__).parents[2]


def refused(ragwork: Installed, *words: str, **settings: str) -> str:
    """The line in which ``serve`` says so when it refuses; ``doctor`` finds the same."""
    [line] = refused_for(ragwork, [words], **settings)
    return line


def refused_for(ragwork: Installed, reasons: Sequence[tuple[str, ...]], **settings: str) -> list[str]:
    """The line for each of the reasons, by the words that it has."""
    # What answers is none of these reasons, and takes a while to open.
    settings = {"LLM_PROVIDER": "fake", **settings}
    done = ragwork.run("serve", "--port", "0", **settings)
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("ragwork: ")]
    assert "Traceback" not in done.stderr
    assert lines, done.stderr
    assert all("Fix: " in line for line in lines)
    examined = ragwork.run("doctor", "--json", **settings)
    assert examined.returncode == 1, examined.stdout
    assert '"fail"' in examined.stdout
    told = []
    for words in reasons:
        found = [line for line in lines if all(word in line for word in words)]
        assert found, done.stderr
        told.append(found[0])
        for word in words:
            assert word in examined.stdout
    return told


@pytest.fixture
def ragwork(tmp_path: Path) -> Installed:
    return Installed(data_dir=tmp_path / "data", cwd=tmp_path)


def test_a_data_directory_that_is_a_file(ragwork: Installed) -> None:
    ragwork.data_dir.write_text("")
    refused(ragwork, str(ragwork.data_dir))


@pytest.mark.program("setpriv")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_a_data_directory_of_another_user() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "data").mkdir(mode=0o700)
        refused(Installed(data_dir=folder / "data", cwd=folder, become=NOBODY), str(folder / "data"))


# Slow: starts a server, and again over what it left.
def test_a_cluster_of_another_postgres_major(ragwork: Installed) -> None:
    assert ragwork.run("dsn").returncode == 0
    [version] = [p for p in ragwork.data_dir.rglob("PG_VERSION") if (p.parent / "postgresql.conf").exists()]
    version.write_text("14\n")
    refused(ragwork, "14")


def test_a_database_that_refuses_the_password(ragwork: Installed, postgres: PostgresServer) -> None:
    wrong = postgres.admin.replace("postgres:", "postgres:x", 1)
    line = refused(ragwork, "DATABASE_URL", DATABASE_URL=wrong)
    assert wrong not in line


@pytest.mark.parametrize("url", ["mysql://h/n", "nonsense"])
def test_a_database_url_that_leads_nowhere(ragwork: Installed, url: str) -> None:
    refused(ragwork, "DATABASE_URL", DATABASE_URL=url)


def test_production_without_its_secrets(ragwork: Installed) -> None:
    names = ("DATABASE_URL", "APIKEY_PEPPER", "SSO_SESSION_PEPPER")
    refused_for(ragwork, [(name,) for name in names], RAGWORK_PROFILE="production")


def test_production_as_a_superuser(ragwork: Installed, postgres: PostgresServer) -> None:
    settings = {
        "RAGWORK_PROFILE": "production",
        "RAGWORK_PLUGINS": "directory",
        "DATABASE_URL": postgres.admin,
    }
    line = refused(ragwork, "superuser", **settings)
    assert "DATABASE_OWNER_URL" in line


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"API_DB_POOL_SIZE": "many"}, "API_DB_POOL_SIZE"),
        ({"RAGWORK_PLUGINS": "directory,apikyes"}, "did you mean 'apikeys'"),
        ({"LLM_PROVIDER": "nosuch"}, "LLM_PROVIDER"),
        ({"LLM_PROVIDER": "openai"}, "OPENAI_API_KEY"),
        ({"APP_NAME_FILE": "/does/not/exist"}, "APP_NAME_FILE"),
    ],
)
def test_a_wrong_setting(ragwork: Installed, settings: dict[str, str], word: str) -> None:
    refused(ragwork, word, **settings)


def test_an_unknown_key_in_the_settings_file(ragwork: Installed) -> None:
    (ragwork.cwd / "ragwork.toml").write_text('[kernel]\nlog_levle = "INFO"\n')
    refused(ragwork, "log_levle", "did you mean 'log_level'")


# Slow: starts a server with a data directory of its own.
def test_the_example_settings_boot(ragwork: Installed) -> None:
    shutil.copy(ROOT / ".env.example", ragwork.cwd / ".env")
    assert ragwork.run("config", "check").returncode == 0
    with ragwork.serving() as server:
        assert server.call("GET", "/v1/health")[0] == 200
        assert server.stop() == 0
    assert ragwork.left_running() == []
