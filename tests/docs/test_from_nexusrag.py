"""The page for people who come from NexusRAG: what it calls built is done on a running platform."""

import asyncio
import itertools
import json
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from page import DOCS, ROOT
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import Answer, Running, running

from ragwork import DEFAULT_PLUGINS

PAGE = (DOCS / "reference" / "from-nexusrag.md").read_text("utf-8")
SETTINGS = {
    "PLAN_DEFAULT": "enterprise",
    "LLM_PROVIDER": "extractive",
    # Its curl commands follow each other faster than a key may run.
    "RATE_LIMIT_ENABLED": "false",
    "OKTA_OIDC_CLIENT_SECRET": "o" * 40,
    "SSO_CLIENT_SECRET_NAMES": "OKTA_OIDC_CLIENT_SECRET=t1",
    "SSO_ALLOWED_REDIRECT_HOSTS": "localhost",
    # Nobody listens there: the test message is sent, and the answer says what became of it.
    "BILLING_WEBHOOK_ENABLED": "true",
    "BILLING_WEBHOOK_URL": "http://127.0.0.1:9/hook",
    "BILLING_WEBHOOK_SECRET": "b" * 40,
    "EGRESS_ALLOW_PRIVATE": "127.0.0.0/8",
}
LATER = re.compile(r"stage ([6-9]|1[0-6])")
RAGWORK = Path(sys.executable).with_name("ragwork")


def table(heading: str) -> list[list[str]]:
    """The rows of the table under a heading, without its header, code marks taken off."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in row.strip("|").replace("\\|", "\0").split("|")] for row in rows[2:]]
    return [[cell.replace("\0", "|") for cell in row] for row in cells]


def code(cell: str) -> str:
    return cell.strip("`")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def app(postgres: PostgresServer) -> AsyncIterator[Running]:
    async with running(postgres, DEFAULT_PLUGINS, SETTINGS) as app:
        await app.command("seed", tenant="t1")
        yield app


def _upload() -> aiohttp.FormData:
    """``-F corpus_id=c1 -F "file=@./example.txt;type=text/plain"``."""
    form = aiohttp.FormData({"corpus_id": "c1"})
    form.add_field("file", b"Some text.", filename="example.txt", content_type="text/plain")
    return form


class Walk:
    """One client going down the page; what an answer made is put in where a later request names it."""

    def __init__(self, app: Running, admin: str) -> None:
        self._app = app
        self._keys = {"": admin}
        self._made = {"document": "doc-123"}

    async def begin(self) -> None:
        rule = {
            "name": "r",
            "effect": "allow",
            "resource_type": "document",
            "action": "read",
            "condition_json": {},
        }
        made = await self._app.call("POST", "/v1/admin/authz/policies", self._keys[""], json=rule)
        assert made.status == 201, made.text
        self._made["policy"] = made.body["data"]["id"]

    async def send(self, request: str, body: str) -> Answer:
        method, path = request.split(" ", 1)
        for name, value in self._made.items():
            path = path.replace(f"{{{name}}}", value)
        key = self._keys.get("scim" if path.startswith("/v1/scim") else "")
        if body.startswith("form:"):
            answer = await self._app.call(method, path, key, data=_upload())
        else:
            sent = json.loads(body) if body else None
            answer = await self._app.call(
                method, path, key, json=sent, headers={"Accept": "application/json"}
            )
        self._keep(path, answer)
        await self._settle(path, key)
        return answer

    def _keep(self, path: str, answer: Answer) -> None:
        data: Any = answer.body.get("data", answer.body) if isinstance(answer.body, dict) else {}
        if path == "/v1/admin/identity/providers":
            self._made["provider"] = data.get("id", "none")
        if path == "/v1/self-serve/api-keys" and "key_id" in data:
            self._made["key"] = data["key_id"]
        if path.endswith("scim/token/create"):
            self._keys["scim"] = data.get("token", "")

    async def _settle(self, path: str, key: str | None) -> None:
        """What is indexed in the background is waited for, as a reader of the page would."""
        while path.startswith("/v1/documents/") and path != "/v1/documents/text/":
            answer = await self._app.call("GET", f"/v1/documents/{self._made['document']}", key)
            if answer.status != 200 or answer.body["data"]["status"] in ("succeeded", "failed"):
                return
            await asyncio.sleep(0.1)


@pytest.mark.asyncio(loop_scope="module")
async def test_every_built_request_answers_as_the_page_says(app: Running) -> None:
    walk = Walk(app, await app.key("t1", platform=True))
    await app.key("t1", role="reader", user="ann")
    await walk.begin()
    wrong = []
    for request, body, today in table("Requests"):
        if LATER.fullmatch(today):
            continue
        answer = await walk.send(code(request), code(body))
        if str(answer.status) != today:
            wrong.append(f"{request}: {answer.status} instead of {today}: {answer.text[:300]}")
    assert not wrong, "\n".join(wrong)


def test_every_setting_is_ours_too_or_has_its_stage() -> None:
    reference = (DOCS / "reference" / "configuration.md").read_text("utf-8")
    rows = table("Settings")
    assert len(rows) > 100
    for name, today in rows:
        if today.startswith("yes"):
            assert f"| `{code(name)}`" in reference, name
        else:
            assert LATER.match(today), name
            assert f"| `{code(name)}`" not in reference, f"{name} is built: say so"


# Slow: starts every command of the page.
def test_every_command_is_one_of_ours_or_has_its_stage() -> None:
    rows = table("Commands and scripts")
    for _, here, today in rows:
        if LATER.fullmatch(today):
            continue
        assert today == "yes"
        words = shlex.split(here.split("`")[1])
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), here
        elif words[0] == "ragwork":
            path = [*itertools.takewhile(str.isalpha, words[1:])]
            shown = subprocess.run([RAGWORK, *path, "--help"], capture_output=True, text=True, check=False)
            assert "Usage:" in shown.stdout, here
