"""A client that a generator makes of the API's description works against the running server.

The generator can't be installed beside this project's other tools, so the test asks for it on PATH.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from ragwork_testkit.platform import ALL_PLUGINS, DOOR_SETTINGS, Running

Start = Callable[..., AbstractAsyncContextManager[Running]]
GENERATOR = "openapi-python-client"
#: What a user of the client would write.
USE = """
import sys
from ragwork_client import AuthenticatedClient
from ragwork_client.api.corpora import corpora_create, corpora_list
from ragwork_client.api.health import health_health_get
from ragwork_client.api.retrieval import retrieval_retrieve
from ragwork_client.models import CorpusCreateRequest, Error, RetrieveRequest

client = AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2])
print(health_health_get.sync(client=client).data.status)
made = corpora_create.sync(client=client, body=CorpusCreateRequest(id="c2", name="Two"), idempotency_key="one")
print(made.data.id, made.data.created_at.year > 2000)
print([corpus.id for corpus in corpora_list.sync(client=client).data])
found = retrieval_retrieve.sync(client=client, body=RetrieveRequest(query="paid leave", corpus_id="c2"))
print(found.data.passages)
refused = retrieval_retrieve.sync(client=client, body=RetrieveRequest(query="paid leave", corpus_id="c9"))
print(isinstance(refused, Error), refused.error.code)
"""


@pytest.mark.program(GENERATOR)
async def test_a_generated_client_calls_health_corpora_and_retrieve(platform: Start, tmp_path: Path) -> None:
    async with platform(plugins=ALL_PLUGINS, settings=DOOR_SETTINGS) as app:
        described = tmp_path / "api.json"
        described.write_text(json.dumps((await app.call("GET", "/v1/openapi.json")).body))
        said = await asyncio.to_thread(run, GENERATOR, "generate", "--path", str(described),
                                       "--output-path", str(tmp_path / "client"))  # fmt: skip
        # Only the answer that is a sound has no class.
        assert said.count("Cannot parse") <= 1, said
        script = tmp_path / "client" / "use.py"
        script.write_text(USE)
        printed = await asyncio.to_thread(run, sys.executable, str(script), app.base, await app.key())
    assert printed.splitlines() == ["ok", "c2 True", "['c2']", "[]", "True NOT_FOUND"]


def run(*command: str) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
