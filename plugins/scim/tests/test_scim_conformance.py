"""Clients that nobody here wrote find nothing wrong."""

import asyncio
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from yarl import URL

pytestmark = pytest.mark.asyncio(loop_scope="module")
MEDIA = "application/scim+json"


# Slow: another's conformance suite, as long as it is.
@pytest.mark.parametrize("accept", [MEDIA, "*/*", "application/json"])
async def test_scim2_tester_finds_no_error_and_skips_nothing(app: Any, scim: Any, accept: str) -> None:
    def check() -> Any:
        from httpx2 import Client
        from scim2_client.engines.httpx2 import SyncSCIMClient
        from scim2_tester import check_server

        headers = {"Authorization": f"Bearer {scim.token}", "Accept": accept}
        with Client(base_url=app.base + "/v1/scim/v2", headers=headers) as http:
            return check_server(SyncSCIMClient(http))

    results = await asyncio.to_thread(check)
    wrong = [f"{r.title} {r.resource_type}: {r.reason}" for r in results if r.status.name != "SUCCESS"]
    assert wrong == []
    assert len(results) > 100


async def test_the_scim_command_line_client_is_content(app: Any, scim: Any) -> None:
    command = [
        sys.executable, "-c", "from scim2_cli import cli; cli()", "--url", app.base + "/v1/scim/v2",
        "--header", f"Authorization: Bearer {scim.token}", "--header", f"Accept: {MEDIA}", "test",
    ]  # fmt: skip
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=120)
    said = Counter(line.split(" ")[0] for line in done.stdout.splitlines() if line[:1].isupper())
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert said["SUCCESS"] > 100


@pytest.mark.parametrize("accept", ["application/json", "text/html", "*/*", MEDIA])
@pytest.mark.parametrize("base", ["/v1/scim/v2", "/scim/v2"])
async def test_addresses_beside_a_route_are_refused_in_scim_too(
    app: Any, scim: Any, base: str, accept: str
) -> None:
    headers = {"Authorization": f"Bearer {scim.token}", "Accept": accept, "Content-Type": MEDIA}
    odd = (
        "/Users/",
        "//Users",
        "//Users/",
        "/Users//",
        "/Users/x/",
        "//Users/x",
        "//Groups",
        "/Groups/",
        "/Nope/",
    )
    asked = [(method, path) for path in odd for method in ("GET", "POST", "PUT", "PATCH", "DELETE")]
    for method, path in (
        *asked,
        ("PUT", "/Users"),
        ("POST", "/Users/x"),
        ("POST", "/Users"),
        ("GET", "/Users/x"),
    ):
        url = URL(app.base + base + path, encoded=True)
        data = None if method == "GET" else b"{"
        async with app.session.request(method, url, headers=headers, data=data) as answer:
            body = await answer.json(content_type=MEDIA)
        assert answer.status in ((404,) if path in odd else (400, 404, 405)), (method, path)
        assert body["status"] == str(answer.status)
        assert body["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
        assert body["detail"]
