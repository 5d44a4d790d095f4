"""The how-to pages do what they say: their commands run against a fresh instance and print what the pages show."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from page import DOCS, Environment
from walker import agrees, read, walk

HOW_TO = DOCS / "how-to"
#: Pages whose commands need what a test has not, and what that is.
NOT_WALKED = {
    "add-audio.md": "a vendor of speech",
    "provision-people-with-scim.md": "an identity provider",
    "publish-a-plugin.md": "an index of packages; tests/docs/test_tutorial_write_a_provider.py walks the tutorial",
    "receive-billing-webhooks.md": "a receiver",
    "run-in-production.md": "docker",
    "run-several-processes.md": "a Postgres, a replica and a Redis",
    "share-cloud-stores.md": "a store in a cloud",
    "sign-in-with-openid-connect.md": "an identity provider",
    "test-against-a-recorded-vendor.md": "a vendor",
    "use-an-openai-compatible-model.md": "a model server",
}
WALKED = sorted(page.name for page in HOW_TO.glob("*.md") if page.name not in NOT_WALKED)
UNHURRIED = {
    f"RL_{whose}_{kind}_{what}": "1000"
    for whose in ("KEY", "TENANT")
    for kind in ("MUTATION", "READ", "RUN", "OPS")
    for what in ("RPS", "BURST")
}


@attrs.frozen
class Instance:
    """A server that the pages' commands reach."""

    base: str
    environ: dict[str, str]


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
    server = subprocess.Popen(
        [tools.bin / "ragwork", "serve", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=(folder / "server.log").open("wb"),
        cwd=folder,
        env={**environ, **UNHURRIED, "EMBEDDING_PROVIDER": "wordllama"},
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
        yield Instance(json.loads(announced)["url"], environ)
    finally:
        server.terminate()
        server.wait(timeout=60)


@pytest.mark.program("curl")
@pytest.mark.parametrize("name", WALKED)
def test_the_commands_of_the_page_print_what_it_shows(name: str, instance: Instance, tmp_path: Path) -> None:
    page = read((HOW_TO / name).read_text(encoding="utf-8"))
    assert page.commands or page.left_out, "a page without commands belongs elsewhere"
    # A tenant of its own keeps pages apart.
    replace = {"http://127.0.0.1:8000": instance.base, "acme": f"acme-{name.removesuffix('.md')}"}
    for command, printed in walk(page, tmp_path, instance.environ, replace):
        if command.shown is not None:
            assert agrees(command.shown, printed), (
                f"$ {command.text}\nshown:\n{command.shown}\nprinted:\n{printed}"
            )
        else:
            assert "Traceback" not in printed, printed
            assert '"error":{' not in printed, printed


def test_every_page_that_is_not_walked_exists_and_has_a_reason() -> None:
    assert all((HOW_TO / name).exists() and reason for name, reason in NOT_WALKED.items())
    assert len(WALKED) >= 17


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
