"""docker-compose.yml, .env.example and the secrets of run-in-production.md, and nothing else: that is healthy.

The services are the compose file's own commands as processes; Postgres and Valkey from wheels stand in for its stores.
"""

import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_asyncio
import yaml
from installed import RAGWORK, Installed
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.valkey import ValkeyServer

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
HOW_TO = (ROOT / "docs/how-to/run-in-production.md").read_text()


@attrs.frozen
class Deployment:
    """The folder of a deployment: ``.env`` and ``secrets/``, as the how-to makes them."""

    folder: Path

    def service(self, name: str) -> Installed:
        """A service with the environment and the secrets that compose gives it."""
        service: dict[str, Any] = COMPOSE["services"][name]
        secrets = {f"{s.upper()}_FILE": str(self.folder / "secrets" / s) for s in service["secrets"]}
        return Exactly(
            data_dir=self.folder / "data", cwd=self.folder, settings={**service["environment"], **secrets}
        )


@attrs.frozen(kw_only=True)
class Exactly(Installed):
    """With these settings alone."""

    def environ(self, more: Any) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "HOME": "", **self.settings, **more}


@pytest_asyncio.fixture
async def postgres_of_its_own(tmp_path: Path) -> Any:
    """A server of its own: production sets the passwords of roles that belong to the whole server."""
    server = await PostgresServer.start(tmp_path / "postgres")
    yield server
    await server.server.stop()


@pytest.fixture
def deployment(tmp_path: Path, postgres_of_its_own: PostgresServer) -> Iterator[Deployment]:
    """The how-to's commands, with the stand-ins' addresses in place of the services' names."""
    folder = tmp_path / "deployment"
    folder.mkdir()
    shutil.copy(ROOT / ".env.example", folder / ".env")
    [script] = re.findall(r"```sh\n(mkdir -p secrets.*?)```", HOW_TO, re.DOTALL)
    subprocess.run(["bash", "-euc", script], cwd=folder, check=True)
    made = folder / "secrets"
    assert {path.name for path in made.iterdir()} == set(COMPOSE["secrets"])
    valkey = ValkeyServer(folder=tmp_path, password=(made / "redis_password").read_text()).start()
    place = re.search(r"@([^/]+)/", postgres_of_its_own.admin)
    assert place
    for path in made.iterdir():
        text = path.read_text().replace("@postgres:5432/", f"@{place[1]}/")
        path.chmod(0o600)
        path.write_text(text.replace("@redis:6379/", f"@127.0.0.1:{valkey.port}/"))
    (made / "database_owner_url").write_text(re.sub(r"/[^/]*$", "/ragwork", postgres_of_its_own.admin))
    yield Deployment(folder)
    valkey.kill()


# Slow: starts Postgres, Valkey, two servers and a worker.
@pytest.mark.timeout(300)
def test_production_by_the_book_is_healthy_and_doctor_is_content(deployment: Deployment) -> None:
    migrated = deployment.service("migrate").run(*COMPOSE["services"]["migrate"]["command"])
    assert migrated.returncode == 0, migrated.stderr
    api, worker = deployment.service("api"), deployment.service("worker")
    with ExitStack() as stack:
        one, two = stack.enter_context(api.serving()), stack.enter_context(api.serving())
        working = subprocess.Popen(
            [RAGWORK, "worker", "--data-dir", worker.data_dir],
            cwd=worker.cwd,
            env=worker.environ({}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(working.wait, 60)
        stack.callback(working.terminate)
        key = made_by_the_book(api)
        for server in (one, two):
            health = healthy(server, key)
            assert (health["db"], health["redis"]) == ("ok", "ok")
            public = healthy(server, key, "/v1/health")
            assert public["inactive_plugins"] == {}
            assert "OAUTH_ISSUER" in public["off"]["agents"]
        examined = worker.json("doctor")
        assert [f for f in examined if f["state"] != "ok" and f["check"] != "port"] == []
        checked = api.run("config", "check")
        # No warning either: nothing that the book sets is unknown, and nobody is told what needs no mending.
        assert (checked.returncode, checked.stderr) == (0, ""), checked.stderr
        assert worker.run("worker", "--check").returncode == 0
    gone = worker.run("worker", "--check")
    assert (gone.returncode, gone.stdout.strip()) == (1, "no worker of this machine is known")


def made_by_the_book(api: Installed) -> str:
    """The key of the how-to's own command."""
    [line] = re.findall(r"^docker compose exec api ragwork (keys create.*) > key.json$", HOW_TO, re.MULTILINE)
    made = api.json(*[word for word in shlex.split(line) if word != "--json"])
    return str(made["key"])


def healthy(server: Any, key: str, path: str = "/v1/ops/health") -> dict[str, Any]:
    """What it says once the worker has been seen, and nothing is slow to answer."""
    until = time.monotonic() + 60
    while True:
        status, answer = server.call("GET", path, key)
        assert status == 200, answer
        if answer["data"]["status"] == "ok":
            found: dict[str, Any] = answer["data"]
            return found
        assert time.monotonic() < until, answer
        time.sleep(0.2)
