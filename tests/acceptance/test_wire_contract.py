"""Every operation that the wire contract names and this server has: its status, role, fields and unversioned path."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_asyncio
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import ALL_PLUGINS, DOOR_SETTINGS, Running, running

pytestmark = pytest.mark.asyncio(loop_scope="module")


@attrs.frozen
class Operation:
    """One line of ``wire_contract.txt``."""

    method: str
    path: str
    status: str
    role: str
    body: frozenset[str]
    answer: frozenset[str]

    @classmethod
    def parse(cls, line: str) -> "Operation":
        head, *fields = line.split("|")
        method, path, status, role = head.split()
        body, answer = (frozenset(part.split()) for part in (*fields, "", "")[:2])
        return cls(method, path, status, role, body, answer)


LINES = (Path(__file__).parent / "wire_contract.txt").read_text().splitlines()
CONTRACT = [Operation.parse(line) for line in LINES if not line.startswith("#")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(postgres: PostgresServer) -> AsyncIterator[Running]:
    async with running(postgres, plugins=ALL_PLUGINS, settings=DOOR_SETTINGS) as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def document(app: Running) -> dict[str, Any]:
    found: dict[str, Any] = (await app.call("GET", "/v1/openapi.json")).body
    return found


def described(document: dict[str, Any], operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][operation.path][operation.method.lower()]
    return found


def fields(document: dict[str, Any], content: dict[str, Any]) -> set[str]:
    """The names of a body's fields, or of an answer's below its envelope and list."""
    media = next(kind for kind in content if "event-stream" not in kind)
    schema = content[media]["schema"]
    schema = schema.get("properties", {}).get("data", schema)
    schema = schema.get("items", schema)
    name = schema.get("$ref", "").rpartition("/")[2]
    return set(document["components"]["schemas"].get(name, {}).get("properties", {}))


async def test_every_operation_has_the_contracts_status_and_role(document: dict[str, Any]) -> None:
    assert len(CONTRACT) > 70
    for operation in CONTRACT:
        found = described(document, operation)
        assert operation.status in found["responses"], operation
        assert found.get("x-role", "public") == operation.role, operation


async def test_no_body_and_no_answer_lacks_a_field_of_the_contract(document: dict[str, Any]) -> None:
    for operation in CONTRACT:
        found = described(document, operation)
        if operation.body:
            assert operation.body <= fields(document, found["requestBody"]["content"]), operation
        if operation.answer:
            assert operation.answer <= fields(document, found["responses"][operation.status]["content"]), (
                operation
            )


async def test_every_operation_is_served_without_a_version_too(app: Running) -> None:
    for operation in CONTRACT:
        path = re.sub(r"\{\w+\}", "none", operation.path)
        old = await app.call(operation.method, path.removeprefix("/v1"))
        new = await app.call(operation.method, path)
        assert old.headers.get("Deprecation") == "true", operation
        assert old.headers["Link"] == '</v1/docs>; rel="successor-version"'
        assert old.status == new.status, operation
        if operation.role != "public":
            assert old.status == 401, operation


async def test_what_is_read_has_the_fields_that_are_described(app: Running) -> None:
    key = await app.key(platform=True)
    for operation in CONTRACT:
        if operation.method != "GET" or not operation.answer or "{" in operation.path:
            continue
        found = await app.call("GET", operation.path, key)
        if found.status != 200:  # its feature is off here, or nothing was measured yet
            assert found.code in ("IDENTITY_FEATURE_DISABLED", "SLO_DATA_UNAVAILABLE"), operation
            continue
        data = found.data[0] if isinstance(found.data, list) and found.data else found.data
        assert not data or operation.answer <= set(data), operation
        plain = await app.call("GET", operation.path.removeprefix("/v1"), key)
        assert type(plain.body) is type(found.data), operation


async def test_liveness_is_json_without_an_envelope(app: Running) -> None:
    found = await app.call("GET", "/v1/healthz")
    assert set(json.loads(found.text)) == {"status", "ts"}
