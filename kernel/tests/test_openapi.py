"""The OpenAPI document: valid by the OpenAPI 3.1 schema, whole, and true to the declarations."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Literal

import attrs
import jsonschema
import pytest
import pytest_asyncio
from ragwork_hooks.fields import number, text
from ragwork_hooks.http import AnyRoute, Page, Upload
from ragwork_kernel import openapi
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import Running, running
from schemathesis.specs.openapi.definitions import OPENAPI_31
from serving import public, route

Start = Callable[..., AbstractAsyncContextManager[Running]]


@attrs.frozen(kw_only=True)
class Thing:
    id: str
    size: int | None = number(default=None, ge=1, le=9)
    at: datetime | None = None
    labels: Mapping[str, str] = attrs.field(factory=dict)
    children: "list[Thing]" = attrs.field(factory=list)
    kind: Literal["a", "b"] = "a"


@attrs.frozen(kw_only=True)
class Create:
    name: str = text(min_length=1, max_length=9)
    file: Upload


async def nothing(_call: Any) -> object:
    return None


class Bare:
    """Speaks its own media type."""

    media_type = "application/scim+json"

    def speaks(self, headers: Any) -> bool:
        return True

    def failure(self, problem: Any, request_id: str) -> tuple[int, object]:
        return 400, {}


def document(*routes: AnyRoute) -> dict[str, Any]:
    return dict(openapi.document(routes, "Test", "1"))


def test_a_document_of_every_kind_of_declaration_is_valid() -> None:
    made = document(
        route(nothing, response=Page[Thing]),
        route(nothing, name="b", path="/v1/things/{id}", response=Thing),
        route(
            nothing,
            name="c",
            method="POST",
            path="/v1/up",
            body=Create,
            body_kind="multipart",
            response=None,
            status=204,
        ),
        route(nothing, name="d", path="/v1/run", method="POST", media_type="text/event-stream"),
        public(nothing, name="e", path="/v1/open", response=list[Thing]),
    )
    jsonschema.validate(made, OPENAPI_31, cls=jsonschema.Draft202012Validator)
    assert made["paths"]["/v1/open"]["get"]["security"] == []
    assert "security" not in made["paths"]["/v1/things"]["get"]
    assert made["paths"]["/v1/things/{id}"]["get"]["parameters"][0]["in"] == "path"


def test_forms_and_dialects_are_described_as_they_speak() -> None:
    made = document(
        public(
            nothing,
            name="token",
            path="/oauth2/token",
            method="POST",
            body=Create,
            body_kind="form",
            dialect=Bare(),
        ),
        route(
            nothing,
            path="/scim/Things",
            method="POST",
            body=dict,
            body_kind="json",
            response=Thing,
            dialect=Bare(),
        ),
    )
    jsonschema.validate(made, OPENAPI_31, cls=jsonschema.Draft202012Validator)
    form = made["paths"]["/oauth2/token"]["post"]["requestBody"]["content"]
    assert list(form) == ["application/x-www-form-urlencoded"]
    things = made["paths"]["/scim/Things"]["post"]
    assert list(things["requestBody"]["content"]) == ["application/json", "application/scim+json"]
    answer = things["responses"]["200"]["content"]
    assert answer["application/scim+json"]["schema"] == {"$ref": "#/components/schemas/Thing"}
    assert "data" in answer["application/json"]["schema"]["properties"]
    assert things["responses"]["422"]["content"]["application/scim+json"]["schema"] == {"type": "object"}


def test_bounds_and_optionality_of_fields_stand_in_the_schema() -> None:
    made = document(route(nothing, response=Thing))
    thing = made["components"]["schemas"]["Thing"]
    assert thing["required"] == ["id"]
    assert thing["additionalProperties"] is False
    assert {"type": "integer", "minimum": 1, "maximum": 9} in thing["properties"]["size"]["anyOf"]
    assert {"type": "null"} in thing["properties"]["size"]["anyOf"]
    assert thing["properties"]["at"]["anyOf"][0] == {"type": "string", "format": "date-time"}
    assert thing["properties"]["kind"]["enum"] == ["a", "b"]
    assert thing["properties"]["children"]["items"] == {"$ref": "#/components/schemas/Thing"}


def test_a_generic_page_is_described_per_item_type() -> None:
    made = document(route(nothing, response=Page[Thing]))
    schemas = made["components"]["schemas"]
    assert schemas["PageThing"]["properties"]["items"]["items"] == {"$ref": "#/components/schemas/Thing"}


def test_two_classes_of_one_name_do_not_share_a_schema() -> None:
    @attrs.frozen(kw_only=True)
    class Thing:
        other: bool

    made = document(
        route(nothing, response=globals()["Thing"]), route(nothing, name="b", path="/v1/b", response=Thing)
    )
    answers = [made["paths"][path]["get"]["responses"]["200"] for path in ("/v1/things", "/v1/b")]
    refs = [a["content"]["application/json"]["schema"]["properties"]["data"]["$ref"] for a in answers]
    assert refs[0] != refs[1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def assembled(postgres: PostgresServer) -> dict[str, Any]:
    """The document of the default plugins."""
    async with running(postgres) as app:
        return app.platform.kernel_routes.document()


def test_the_document_of_the_default_assembly_is_valid(assembled: dict[str, Any]) -> None:
    jsonschema.validate(assembled, OPENAPI_31, cls=jsonschema.Draft202012Validator)


def test_every_reference_resolves_and_every_operation_is_named_once(assembled: dict[str, Any]) -> None:
    schemas = assembled["components"]["schemas"]
    for reference in _references(assembled):
        assert reference.removeprefix("#/components/schemas/") in schemas
    operations = [o["operationId"] for path in assembled["paths"].values() for o in path.values()]
    assert len(operations) == len(set(operations)) > 20


def test_every_component_schema_is_itself_a_valid_json_schema(assembled: dict[str, Any]) -> None:
    for schema in assembled["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("path", ["/v1/openapi.json", "/v1/docs"])
async def test_the_document_is_served_and_its_page_needs_no_network(platform: Start, path: str) -> None:
    async with platform(plugins=()) as app:
        answer = await app.call("GET", path)
        assert answer.status == 200
        assert "/v1/health" in answer.text
        if path.endswith("docs"):
            assert "src=" not in answer.text
            assert "http://" not in answer.text
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [r for inner in value.values() for r in _references(inner)]
    if isinstance(value, list):
        return [r for inner in value for r in _references(inner)]
    return []
