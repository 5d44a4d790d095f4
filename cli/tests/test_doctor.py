"""``doctor`` finds each broken precondition, names its fix, and goes on as far as it can."""

import socket
from pathlib import Path

import asyncpg
import pytest
from ragwork_cli import doctor
from ragwork_cli.doctor import Finding
from ragwork_kernel.boot import infrastructure
from ragwork_testkit.database import FreshDatabase


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database: FreshDatabase) -> None:
    """The test's own database, no plugin, no settings file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(infrastructure, "PATIENCE_S", 0.2)
    monkeypatch.setenv("RAGWORK_PLUGINS", "directory")
    monkeypatch.setenv("DATABASE_URL", database.admin)
    for name in ("RAGWORK_PROFILE", "DATABASE_OWNER_URL", "DATABASE_DISPATCHER_URL"):
        monkeypatch.delenv(name, raising=False)


async def examined(tmp_path: Path) -> dict[str, Finding]:
    found = await doctor.examine(tmp_path / "data")
    assert all(f.state == "ok" or f.fix for f in found)
    return {f.check: f for f in found}


async def test_a_sound_installation_has_nothing_to_mend(tmp_path: Path) -> None:
    found = await examined(tmp_path)
    assert {f.state for f in found.values()} <= {"ok", "warn"}
    assert found["schema"].state == "ok"  # the plugin's migrations wait; serve applies them here
    assert "serve migrates by itself" in found["schema"].detail


async def test_a_taken_port_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert doctor._port(port).state == "warn"
        assert str(port) in doctor._port(port).detail
    assert doctor._port(port).state == "ok"


async def test_a_full_disk_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_MIN_FREE_BYTES", 10**18)
    assert (await examined(tmp_path))["disk"].state == "fail"


async def test_shared_state_that_is_away_is_found_and_its_password_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await examined(tmp_path))["shared state"].state == "ok"
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2@127.0.0.1:1/0")
    found = (await examined(tmp_path))["shared state"]
    assert found.state == "fail"
    assert "hunter2" not in found.detail + found.fix
    monkeypatch.setenv("REDIS_URL", "nats://127.0.0.1")
    assert "ragwork-redis" in (await examined(tmp_path))["shared state"].fix


async def test_a_skewed_clock_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_MAX_SKEW_S", -1)
    assert (await examined(tmp_path))["clock"].state == "warn"


async def test_a_database_that_is_away_is_found_and_its_password_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hidden@127.0.0.1:1/n")
    found = await examined(tmp_path)
    assert found["database"].state == "fail"
    assert "127.0.0.1:1" in found["database"].detail
    assert "hidden" not in str(found)
    assert "postgres" not in found


async def test_a_wrong_password_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: FreshDatabase
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.app.replace("ragwork_app:", "ragwork_app:x"))
    assert (await examined(tmp_path))["database"].state == "fail"


async def test_a_superuser_in_production_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: FreshDatabase
) -> None:
    monkeypatch.setenv("RAGWORK_PROFILE", "production")
    found = await examined(tmp_path)
    assert found["database"].state == "fail"
    assert "superuser" in found["database"].detail


async def test_production_without_a_dispatcher_can_not_work_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: FreshDatabase
) -> None:
    monkeypatch.setenv("RAGWORK_PROFILE", "production")
    monkeypatch.setenv("DATABASE_URL", database.app)
    found = await examined(tmp_path)
    assert (found["jobs"].state, found["schema"].fix) == ("warn", "run `ragwork migrate`")


async def test_missing_secrets_in_production_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: FreshDatabase
) -> None:
    monkeypatch.setenv("RAGWORK_PROFILE", "production")
    monkeypatch.setenv("RAGWORK_PLUGINS", "directory,apikeys")
    monkeypatch.setenv("DATABASE_URL", database.app)
    found = await examined(tmp_path)
    assert found["secrets"].state == "fail"
    assert "/run/secrets" in found["secrets"].fix


async def test_a_schema_that_a_newer_release_contracted_is_found(
    tmp_path: Path, database: FreshDatabase
) -> None:
    admin = await asyncpg.connect(database.admin)
    await admin.execute("INSERT INTO ragwork.migrations VALUES ('directory', 99, 'x', 'contract')")
    await admin.close()
    found = await examined(tmp_path)
    assert any(f.state == "fail" and "newer release" in f.detail for f in found.values())


async def test_a_broken_plugin_is_found_and_the_rest_still_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGWORK_PLUGINS", "directory,rbca")
    found = await examined(tmp_path)
    assert found["plugin rbca"].state == "fail"
    assert "did you mean 'rbac'" in found["plugin rbca"].fix
    assert found["postgres"].state == "ok"


async def test_a_broken_settings_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "ragwork.toml").write_text("[kernel]\nlog_levle = 'INFO'\n")
    found = await examined(tmp_path)
    assert found["configuration"].state == "fail"
    assert "log_level" in found["configuration"].fix
