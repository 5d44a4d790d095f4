"""An agent's token and the documents: what it may not GET it may not retrieve, alone or for somebody."""

from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
import pytest_asyncio
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import DEFAULT_PLUGINS, Running, running

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(postgres: PostgresServer) -> AsyncIterator[Running]:
    async with running(postgres, (*DEFAULT_PLUGINS, "audit", "rego", "agents")) as app:
        yield app


async def _document(authority: Any, corpus: str, name: str, readers: list[tuple[str, str]]) -> None:
    body = {"corpus_id": corpus, "document_id": name, "text": f"The {name} tower is made of granite."}
    answer = await authority.call("POST", "/v1/documents/text", body)
    assert answer.status == 202, answer.text
    for kind, who in readers:
        grant = {"principal_type": kind, "principal_id": who, "permission": "read"}
        given = await authority.call("POST", f"/v1/admin/authz/documents/{name}/permissions", grant)
        assert given.status in (200, 201), given.text
    await authority.app.ingested(authority.admin, name)


async def _retrieved(authority: Any, corpus: str, token: str) -> set[str]:
    body = {"corpus_id": corpus, "query": "granite tower", "top_k": 10}
    answer = await authority.call("POST", "/v1/retrieve", body, token)
    assert answer.status == 200, answer.text
    return {passage["document_id"] for passage in answer.data["passages"]}


@attrs.frozen
class Case:
    """Three documents: hers alone, its alone, of both; and the agent's tokens, its own and for ann."""

    corpus: str
    own: str
    hers: str


@pytest_asyncio.fixture(loop_scope="module")
async def case(authority: Any, rego_all: str) -> Case:
    agent = await authority.agent(await authority.policy(rego_all))
    ann = await authority.app.key(authority.tenant, "reader", "ann")
    made = {"id": "c", "name": "c", "provider_config_json": {}}
    assert (await authority.call("POST", "/v1/corpora", made)).status == 201
    grants = {"hers": [("user", "ann")], "its": [("user", agent["id"])]}
    grants["both"] = [*grants["hers"], *grants["its"]]
    for name, readers in grants.items():
        await _document(authority, "c", name, readers)
    scope = "document.read document.list corpus.retrieve"
    given = await authority.call(
        "POST", "/api/v1/delegations", {"agent_id": agent["id"], "scopes": scope.split()}, ann
    )
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "client_id": agent["client_id"],
        "client_secret": agent["client_secret"],
        "subject_token": given.body["subject_token"],
    }
    return Case(
        "c",
        (await authority.token(agent, scope)).body["access_token"],
        (await authority.form("/oauth/token", form)).body["access_token"],
    )


async def test_it_retrieves_and_lists_what_it_and_its_person_may_both_read(
    authority: Any, case: Case
) -> None:
    assert await _retrieved(authority, case.corpus, case.own) == {"its", "both"}
    assert await _retrieved(authority, case.corpus, case.hers) == {"both"}
    for token, seen in ((case.own, {"its", "both"}), (case.hers, {"both"})):
        listed = await authority.call("GET", "/v1/documents", key=token)
        assert {d["id"] for d in listed.data} == seen
    for name, status in (("both", 200), ("hers", 403)):
        assert (await authority.call("GET", f"/v1/documents/{name}", key=case.hers)).status == status


async def test_by_id_it_gets_nothing_that_its_person_may_not_read(authority: Any, case: Case) -> None:
    assert (await authority.call("GET", "/v1/documents/its", key=case.hers)).status == 403
