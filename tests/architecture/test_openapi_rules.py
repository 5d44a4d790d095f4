"""The API's description with every plugin: valid, whole, and enough to generate a client from."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest_asyncio
from openapi_spec_validator import OpenAPIV31SpecValidator
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import DEFAULT_PLUGINS, DOOR_PLUGINS, IDENTITY_PLUGINS, running

ROOT = Path(__file__).parents[2]
SOURCES = [
    path
    for folder in ("kernel/src", "plugins/*/src")
    for root in ROOT.glob(folder)
    for path in root.rglob("*.py")
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def document(postgres: PostgresServer) -> dict[str, Any]:
    """The document of the assembly with everything in it."""
    plugins = (*DEFAULT_PLUGINS, *DOOR_PLUGINS, *IDENTITY_PLUGINS)
    async with running(postgres, plugins=plugins) as app:
        return app.platform.kernel_routes.document()


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()


def test_every_operation_has_an_id_of_area_and_verb_that_a_language_can_say(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for operation in operations(document)]
    assert len(set(ids)) == len(ids) > 150
    assert all(name.isidentifier() and "_" in name for name in ids)
    assert "health_health_get" in ids


def test_areas_come_in_the_order_in_which_a_client_needs_them(document: dict[str, Any]) -> None:
    tags = [tag["name"] for tag in document["tags"]]
    assert tags[:4] == ["run", "retrieval", "documents", "corpora"]
    assert tags.index("oauth") > tags.index("agents") > tags.index("selfserve")
    assert not [tag["name"] for tag in document["tags"] if not tag.get("description")]


def test_every_schema_has_the_name_of_its_class(document: dict[str, Any]) -> None:
    """A name that two classes share would have got the package of one before it."""
    text = "".join(path.read_text() for path in SOURCES)
    classes = set(re.findall(r"^class (\w+)", text, re.MULTILINE)) | {
        "Meta",
        "Error",
        "ErrorBody",
        "Heartbeat",
    }
    made = {name for name in document["components"]["schemas"] if not name.startswith("Page")}
    assert not {name for name in made - classes if not name.endswith("Event")}


def test_every_operation_tells_every_status_it_may_answer(document: dict[str, Any]) -> None:
    for operation in operations(document):
        answers, name = operation["responses"], operation["operationId"]
        expected = {"500"}
        if operation["x-rate-class"] != "probe":
            expected |= {"429", "503"}
        if operation.get("security") != [] and "x-role" in operation:
            expected |= {"401", "403"}
        if "requestBody" in operation:
            expected |= {"400", "413", "415"}
        if operation["x-idempotency"] != "none":
            expected |= {"400", "409"}
        if operation["x-enveloped"] and "x-role" in operation and operation["x-rate-class"] != "identity":
            expected |= set() if "platform scope" in operation["description"] else {"402"}
        # A standard of its own may know fewer statuses.
        bare = not operation["x-enveloped"]
        missing = expected - set(answers) - ({"413", "415", "409", "503"} if bare else set())
        assert not missing, f"{name} lacks {sorted(missing)}"


def test_waiting_and_limits_are_told_in_headers(document: dict[str, Any]) -> None:
    for operation in operations(document):
        for status, answer in operation["responses"].items():
            headers = set(answer["headers"])
            assert "X-Request-Id" in headers
            assert status not in ("429", "503") or "Retry-After" in headers
            assert status != "401" or "WWW-Authenticate" in headers
            assert status != "402" or "X-Quota-Day-Remaining" in headers


def test_every_reference_resolves(document: dict[str, Any]) -> None:
    for reference in _references(document):
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref":
                yield inner
            elif key == "mapping":
                yield from inner.values()
            else:
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)
