"""The API's description with every plugin: valid, whole, and enough to generate a client from."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import jsonschema
import pytest
import pytest_asyncio
from openapi_spec_validator import OpenAPIV31SpecValidator
from ragwork_hooks.http import AnyRoute
from ragwork_kernel.base import json_codec
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import ALL_PLUGINS, running

ROOT = Path(__file__).parents[2]
SOURCES = [
    path
    for folder in ("hooks/src", "kernel/src", "plugins/*/src")
    for root in ROOT.glob(folder)
    for path in root.rglob("*.py")
]


@attrs.frozen(kw_only=True)
class Described:
    """The assembly with everything in it: what it serves, and what it says of that."""

    routes: tuple[AnyRoute, ...]
    document: dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def described(postgres: PostgresServer) -> Described:
    async with running(postgres, plugins=ALL_PLUGINS) as app:
        answer = await app.call("GET", "/v1/openapi.json")
        return Described(routes=app.platform.routes, document=answer.body)


@pytest.fixture(scope="module")
def document(described: Described) -> dict[str, Any]:
    return described.document


@pytest.fixture(scope="module")
def routes(described: Described) -> tuple[AnyRoute, ...]:
    return described.routes


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


def test_every_field_and_parameter_is_described(document: dict[str, Any]) -> None:
    silent = [
        f"{name}.{field}"
        for name, schema in document["components"]["schemas"].items()
        for field, kind in schema.get("properties", {}).items()
        if not kind.get("description")
    ]
    silent += [
        f"{operation['operationId']}({parameter['name']})"
        for operation in operations(document)
        for parameter in operation["parameters"]
        if "name" in parameter and not parameter.get("description")
    ]
    assert silent == [], "write a #: comment above each"


def test_every_class_says_what_it_is(document: dict[str, Any]) -> None:
    assert not [n for n, s in document["components"]["schemas"].items() if not s.get("description")]


def test_every_body_has_an_example_that_the_server_takes(
    document: dict[str, Any], routes: tuple[AnyRoute, ...]
) -> None:
    shown = 0
    for route in routes:
        if route.body_kind == "none":
            continue
        operation = document["paths"][route.path][route.method.lower()]
        for content in operation["requestBody"]["content"].values():
            assert "example" in content, f"{operation['operationId']} shows no body"
            _validate(content, document)
            shown += 1
        if route.body_kind in ("json", "optional_json", "form"):
            json_codec.structure(content["example"], route.body, "body")
    assert shown > 50


def test_every_answer_of_a_class_is_shown_and_valid(document: dict[str, Any]) -> None:
    for operation in operations(document):
        success = next(a for status, a in operation["responses"].items() if status.startswith("2"))
        for media, content in success.get("content", {}).items():
            if (
                "$ref"
                in str(content["schema"].get("properties", content["schema"]).get("data", content["schema"]))
                and "json" in media
            ):
                assert "example" in content, f"{operation['operationId']} shows no answer"
                _validate(content, document)


def test_a_stream_names_all_of_its_events(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    events = schemas["RunCreateEvent"]["discriminator"]["mapping"]
    assert {"request.accepted", "token.delta", "message.final", "error", "done"} <= set(events)


def _validate(content: dict[str, Any], document: dict[str, Any]) -> None:
    schema = {**content["schema"], "components": document["components"]}
    jsonschema.validate(content["example"], schema, cls=jsonschema.Draft202012Validator)


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
