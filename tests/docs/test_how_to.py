"""The how-to pages do what they say: their commands run against a fresh instance and print what the pages show."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
import wheels
from page import DOCS, Environment
from ragwork_testkit.valkey import free_port
from walker import Page, agrees, read, walk
from worlds import WORLDS, nothing

HOW_TO = DOCS / "how-to"
PAGES = sorted(page.name for page in HOW_TO.glob("*.md"))
_PORT = re.compile(r"--port (\d+)")
UNHURRIED = {
    f"RL_{whose}_{kind}_{what}": "1000"
    for whose in ("KEY", "TENANT")
    for kind in ("MUTATION", "READ", "RUN", "OPS")
    for what in ("RPS", "BURST")
}
#: Nobody listens there.
CLOUD_THAT_IS_AWAY = {
    "BEDROCK_AGENT_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_ACCESS_KEY_ID": "AKIAOPERATOR",
    "AWS_SECRET_ACCESS_KEY": "operators-secret",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@attrs.frozen
class Instance:
    """A server that the pages' commands reach: where pages have its address, and what they run with.

    ``fresh`` is a data directory in which nothing happened yet, to be copied.
    """

    replace: dict[str, str]
    environ: dict[str, str]
    fresh: Path


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    folder = tmp_path_factory.mktemp("how-to")
    tools = Environment.make(folder / "env", with_pip=False)
    environ = {
        "HOME": str(folder),
        "PATH": f"{tools.bin}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
        "RAGWORK_DATA_DIR": str(folder / "data"),
        "LOG_LEVEL": "WARNING",
    }
    made = [tools.bin / "ragwork", "migrate", "--data-dir", folder / "fresh"]
    subprocess.run(made, cwd=folder, env=environ, check=True, capture_output=True)
    shutil.copytree(folder / "fresh", folder / "data")
    server = subprocess.Popen(
        [tools.bin / "ragwork", "serve", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=(folder / "server.log").open("wb"),
        cwd=folder,
        env={**environ, **UNHURRIED, **CLOUD_THAT_IS_AWAY, "EMBEDDING_PROVIDER": "wordllama"},
        text=True,
    )
    try:
        assert server.stdout is not None
        announced = ""
        for line in server.stdout:
            announced += line
            if line == "}\n":
                break
        assert announced, (folder / "server.log").read_text()
        yield Instance({"http://127.0.0.1:8000": json.loads(announced)["url"]}, environ, folder / "fresh")
    finally:
        server.terminate()
        server.wait(timeout=60)


def apart(page: Page, instance: Instance, folder: Path) -> Instance:
    """For a page that starts servers: ports and data of its own."""
    replace: dict[str, str] = {}
    for port in {port for command in page.commands for port in _PORT.findall(command.text)}:
        here = free_port()
        replace |= {f"--port {port}": f"--port {here}", f"127.0.0.1:{port}": f"127.0.0.1:{here}"}
    data = shutil.copytree(instance.fresh, folder / "data")
    settings = {**UNHURRIED, "EMBEDDING_PROVIDER": "wordllama", "RAGWORK_DATA_DIR": str(data)}
    return attrs.evolve(instance, replace=replace, environ=instance.environ | settings)


# Slow: most pages start a server of their own.
@pytest.mark.program("curl")
@pytest.mark.parametrize("name", PAGES)
async def test_the_commands_of_the_page_print_what_it_shows(
    name: str, instance: Instance, tmp_path: Path
) -> None:
    page = read((HOW_TO / name).read_text(encoding="utf-8"))
    assert page.commands or page.left_out, "a page without commands belongs elsewhere"
    reached = apart(page, instance, tmp_path) if page.serves else instance
    async with WORLDS.get(name, nothing)(tmp_path) as world:
        # A tenant of its own keeps pages apart.
        replace = {**world.replace, **reached.replace, "acme": f"acme-{name.removesuffix('.md')}"}
        environ = reached.environ | world.environ
        walked = await asyncio.to_thread(lambda: list(walk(page, tmp_path, environ, replace)))
    for command, printed in walked:
        if missing := wheels.missing(printed):
            pytest.skip(f"uv's cache does not hold what the wheels need: {missing}")
        if command.shown is not None:
            assert agrees(command.shown, printed), (
                f"$ {command.text}\nshown:\n{command.shown}\nprinted:\n{printed}"
            )
        else:
            assert "Traceback" not in printed, printed
            assert '"error":{' not in printed, printed


def test_only_what_docker_itself_does_is_left_out() -> None:
    left_out = {why for name in PAGES for why in read((HOW_TO / name).read_text(encoding="utf-8")).left_out}
    assert all(why.startswith("docker") for why in left_out), left_out


def test_every_world_is_that_of_a_page() -> None:
    assert set(WORLDS) <= set(PAGES)


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ('{"data":{"id":"a",…},"meta":{…}}', '{"data": {"id":"a","n":1},\n "meta":{"x":2}}\n', True),
        ("06f25003-e641-4647-ab5b-386fdf7ab886 ok", "b0e6e628-f230-4063-914d-23c941557d39  ok", True),
        ("works until 2026-11-22T05:23:43.677737+00:00.", "works until 2027-01-01T00:00:00+00:00.", True),
        ("2 documents", "3 documents", False),
        ("all of it", "all of it, and more", False),
    ],
)
def test_what_is_printed_may_differ_only_in_what_varies(shown: str, printed: str, same: bool) -> None:
    assert agrees(shown, printed) is same
