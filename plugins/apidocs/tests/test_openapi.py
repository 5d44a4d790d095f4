"""The OpenAPI document: valid by the OpenAPI 3.1 schema, whole, and true to the declarations."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Literal

import attrs
import jsonschema
import pytest
from ragwork_apidocs import openapi
from ragwork_hooks.admission import Admission, Wire
from ragwork_hooks.fields import MAX_ITEMS, MAX_JSON, MAX_TEXT, items, number, text
from ragwork_hooks.http import AnyRoute, Area, EventTypes, Page, Scheme, Upload
from ragwork_testkit.made_routes import public, route
from ragwork_testkit.platform import Running
from schemathesis.specs.openapi.definitions import OPENAPI_31

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
    #: How people call it, on one line
    #: or on two. Example: "lamp"
    name: str = text(min_length=1, max_length=9, pattern="[a-z]+|[0-9]+")
    file: Upload
    #: Left out of examples: it has none.
    hint: str | None = None


@attrs.frozen(kw_only=True)
class Part:
    name: str


@attrs.frozen(kw_only=True)
class Inside:
    note: str | None
    size: int = number(le=9)
    free: dict[str, object]
    rows: list[dict[str, object]]
    names: list[str] = items(max_items=3, max_length=7)
    parts: list[Part]
    at: datetime


@attrs.frozen(kw_only=True)
class Asked:
    q: str


@attrs.frozen(kw_only=True)
class Both:
    word: str


@attrs.frozen(kw_only=True)
class Failure:
    """What went wrong."""

    #: A word. Example: "NOT_FOUND"
    said: str


@attrs.frozen(kw_only=True)
class Given:
    """What came, in the order of the shop."""

    #: Its kind. Example: "lamp"
    kind: str
    #: When it came.
    at: datetime
    #: Who gave it, if anybody says.
    by: str | None
    #: Parts. Example: ["cord"]
    parts: list[str]


@attrs.frozen
class Limited:
    """A gate that says what it may say."""

    name: str = "limited"
    stage: Any = "rate"

    async def admit(self, ask: Any) -> Admission:
        return Admission()

    def wire(self, route: AnyRoute) -> Wire:
        if route.rate_class == "probe":
            return Wire()
        return Wire(
            codes=("RATE_LIMITED",),
            headers={"X-Left": "What is left."},
            refusal_headers={"X-Whose": "Whose."},
        )


async def nothing(_call: Any) -> object:
    return None


class Bare:
    """Speaks its own media type."""

    media_type = "application/scim+json"
    body_types = ("application/scim+json", "application/json")
    failure_type = Failure

    def failure(self, problem: Any, request_id: str) -> tuple[int, object]:
        return (400 if problem.status == 422 else problem.status), {"said": problem.code}


def document(*routes: AnyRoute, areas: tuple[Area, ...] = ()) -> dict[str, Any]:
    return dict(openapi.document(routes, "Test", "1", areas, [Limited()]))


def test_a_document_of_every_kind_of_declaration_is_valid() -> None:
    made = document(
        route(nothing, response=Page[Thing]),
        route(nothing, name="things.get", path="/v1/things/{id}", response=Thing),
        route(
            nothing,
            name="things.create",
            method="POST",
            path="/v1/up",
            body=Create,
            body_kind="multipart",
            response=None,
            status=204,
        ),
        route(
            nothing,
            name="talk.create",
            path="/v1/talk",
            method="POST",
            media_type="text/event-stream",
            events=EventTypes(fields=Failure, data={"piece.given": Given}),
        ),
        public(nothing, name="open.get", path="/v1/open", response=list[Thing]),
    )
    jsonschema.validate(made, OPENAPI_31, cls=jsonschema.Draft202012Validator)
    assert made["paths"]["/v1/open"]["get"]["security"] == []
    assert "security" not in made["paths"]["/v1/things"]["get"]
    assert made["paths"]["/v1/things/{id}"]["get"]["parameters"][0]["in"] == "path"


def test_forms_and_dialects_are_described_as_they_speak() -> None:
    made = document(
        public(
            nothing,
            name="token.create",
            path="/oauth2/token",
            method="POST",
            body=Create,
            body_kind="form",
            error_format=Bare(),
        ),
        route(
            nothing,
            security=(Scheme(name="Other", fields={"type": "http", "scheme": "basic"}),),
            path="/scim/Things",
            method="POST",
            body=dict,
            body_kind="json",
            response=Thing,
            error_format=Bare(),
        ),
    )
    jsonschema.validate(made, OPENAPI_31, cls=jsonschema.Draft202012Validator)
    form = made["paths"]["/oauth2/token"]["post"]["requestBody"]["content"]
    assert list(form) == ["application/x-www-form-urlencoded"]
    things = made["paths"]["/scim/Things"]["post"]
    assert list(things["requestBody"]["content"]) == ["application/scim+json", "application/json"]
    answer = things["responses"]["200"]["content"]
    assert answer == {"application/scim+json": {"schema": {"$ref": "#/components/schemas/Thing"}}}
    assert things["security"] == [{"Other": []}]
    assert made["components"]["securitySchemes"]["Other"]["scheme"] == "basic"


def test_a_dialects_refusals_stand_under_its_own_statuses_with_its_own_bodies() -> None:
    made = document(
        route(nothing, name="b.create", method="POST", body=dict, body_kind="json", error_format=Bare())
    )
    answers = made["paths"]["/v1/things"]["post"]["responses"]
    assert "422" not in answers
    refused = answers["400"]["content"]["application/scim+json"]
    assert refused["schema"] == {"$ref": "#/components/schemas/Failure"}
    assert refused["examples"]["REQUEST_VALIDATION_ERROR"] == {"value": {"said": "REQUEST_VALIDATION_ERROR"}}


def test_comments_above_fields_describe_them_and_patterns_are_anchored() -> None:
    made = document(route(nothing, method="POST", body=Create, body_kind="json"))
    name = made["components"]["schemas"]["Create"]["properties"]["name"]
    assert name["description"] == "How people call it, on one line or on two."
    assert name["examples"] == ["lamp"]
    assert name["pattern"] == "^(?:[a-z]+|[0-9]+)$"
    content = made["paths"]["/v1/things"]["post"]["requestBody"]["content"]["application/json"]
    assert content["example"]["name"] == "lamp"
    assert "hint" not in content["example"]


def test_an_answer_is_shown_whole() -> None:
    made = document(route(nothing, response=list[Given]))
    content = made["paths"]["/v1/things"]["get"]["responses"]["200"]["content"]["application/json"]
    (given,) = content["example"]["data"]
    assert given == {"kind": "lamp", "at": "2026-01-05T09:30:00+00:00", "by": None, "parts": ["cord"]}
    jsonschema.validate(given, made["components"]["schemas"]["Given"], cls=jsonschema.Draft202012Validator)


def test_an_example_that_is_no_json_is_named() -> None:
    @attrs.frozen(kw_only=True)
    class Odd:
        #: Odd. Example: lamp
        name: str

    with pytest.raises(ValueError, match=r"Odd\.name is no JSON"):
        document(route(nothing, response=Odd))


def test_gates_tell_their_codes_and_headers_and_probes_are_spared() -> None:
    made = document(route(nothing), public(nothing, name="live.get", path="/v1/live", rate_class="probe"))
    answers = made["paths"]["/v1/things"]["get"]["responses"]
    assert answers["429"]["x-codes"] == ["RATE_LIMITED"]
    assert {"X-Request-Id", "Retry-After", "X-Left", "X-Whose"} == set(answers["429"]["headers"])
    assert {"X-Request-Id", "X-Left"} == set(answers["200"]["headers"])
    assert made["components"]["headers"]["X-Left"]["description"] == "What is left."
    assert list(made["paths"]["/v1/live"]["get"]["responses"]) == ["200", "500"]


def test_keys_of_idempotency_are_parameters_with_their_refusals() -> None:
    made = document(
        route(nothing, method="POST", idempotency="accepted"),
        route(nothing, name="b.create", path="/v1/b", method="POST", idempotency="required"),
    )
    accepted, required = (made["paths"][path]["post"] for path in ("/v1/things", "/v1/b"))
    assert accepted["parameters"] == [{"$ref": "#/components/parameters/IdempotencyKey"}]
    assert required["parameters"][0]["required"] is True
    assert accepted["responses"]["409"]["x-codes"] == ["IDEMPOTENCY_KEY_CONFLICT"]
    assert "IDEMPOTENCY_KEY_REQUIRED" in required["responses"]["400"]["x-codes"]
    assert "Idempotency-Replayed" in accepted["responses"]["200"]["headers"]


def test_a_stream_is_a_union_told_apart_by_type() -> None:
    made = document(
        route(nothing, media_type="text/event-stream", events=EventTypes(fields=Failure, data={"a.b": Given}))
    )
    schemas = made["components"]["schemas"]
    union = schemas["ThingsListEvent"]
    assert union["discriminator"]["mapping"]["a.b"] == "#/components/schemas/ABEvent"
    assert {reference["$ref"].rpartition("/")[2] for reference in union["oneOf"]} == {
        "ABEvent",
        "ErrorEvent",
        "DoneEvent",
    }
    assert schemas["ABEvent"]["properties"]["data"]["$ref"] == "#/components/schemas/Given"
    assert schemas["ABEvent"]["required"] == ["type", "request_id", "said", "data", "seq"]


def test_areas_stand_in_their_order_and_name_what_answers_bare() -> None:
    made = document(
        route(nothing, name="a.list"),
        route(nothing, name="z.get", path="/v1/z/{id}", error_format=Bare()),
        areas=(Area(name="z", about="Last letter.", rank=1, path={"id": "Its id."}),),
    )
    assert [tag["name"] for tag in made["tags"]] == ["z", "a"]
    assert list(made["paths"]) == ["/v1/z/{id}", "/v1/things"]
    assert made["paths"]["/v1/z/{id}"]["get"]["parameters"][0]["description"] == "Its id."
    assert "answer z." in made["info"]["description"]


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


def test_bodies_and_queries_show_the_bounds_that_hold_by_default_and_answers_none() -> None:
    made = document(
        route(
            nothing,
            name="things.create",
            method="POST",
            path="/v1/in",
            body=Inside,
            body_kind="json",
            response=Thing,
        ),
        route(nothing, name="things.list", path="/v1/things", query=Asked, response=list[Both]),
        route(nothing, name="both.create", method="POST", path="/v1/both", body=Both, body_kind="json"),
    )
    schemas, free = made["components"]["schemas"], {"type": "object", "additionalProperties": {}}
    assert schemas["Inside"]["properties"] == {
        "note": {"anyOf": [{"type": "string", "maxLength": MAX_TEXT}, {"type": "null"}]},
        "size": {"type": "integer", "minimum": -(2**63), "maximum": 9},
        "free": {**free, "x-maxBytes": MAX_JSON},
        "rows": {"type": "array", "items": free, "maxItems": MAX_ITEMS, "x-maxBytes": MAX_JSON},
        "names": {"type": "array", "items": {"type": "string", "maxLength": 7}, "minItems": 0, "maxItems": 3},
        "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Part"}, "maxItems": MAX_ITEMS},
        "at": {"type": "string", "format": "date-time"},
    }
    assert schemas["Part"]["properties"]["name"] == {"type": "string", "maxLength": MAX_TEXT}
    (asked,) = made["paths"]["/v1/things"]["get"]["parameters"]
    assert asked["schema"] == {"type": "string", "maxLength": MAX_TEXT}
    for name, field in (("Thing", "id"), ("Both", "word")):
        assert schemas[name]["properties"][field] == {"type": "string"}


def test_a_generic_page_is_described_per_item_type() -> None:
    made = document(route(nothing, response=Page[Thing]))
    schemas = made["components"]["schemas"]
    assert schemas["PageThing"]["properties"]["items"]["items"] == {"$ref": "#/components/schemas/Thing"}


def test_two_classes_of_one_name_do_not_share_a_schema() -> None:
    @attrs.frozen(kw_only=True)
    class Thing:
        other: bool

    made = document(
        route(nothing, response=globals()["Thing"]),
        route(nothing, name="b.get", path="/v1/b", response=Thing),
    )
    answers = [made["paths"][path]["get"]["responses"]["200"] for path in ("/v1/things", "/v1/b")]
    refs = [a["content"]["application/json"]["schema"]["properties"]["data"]["$ref"] for a in answers]
    assert refs == ["#/components/schemas/Thing", "#/components/schemas/PluginsThing"]


@pytest.mark.parametrize("path", ["/v1/openapi.json", "/v1/docs"])
async def test_the_document_is_served_and_its_page_needs_no_network(platform: Start, path: str) -> None:
    async with platform(plugins=("apidocs",)) as app:
        answer = await app.call("GET", path)
        assert answer.status == 200
        assert "/v1/health" in answer.text
        if path.endswith("docs"):
            assert "src=" not in answer.text
            assert "http://" not in answer.text
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


async def test_the_description_is_made_once_however_many_ask_at_first(platform: Start) -> None:
    async with platform() as app:
        paths = ["/v1/openapi.json", "/v1/docs"] * 8
        answers = await asyncio.gather(*(app.call("GET", path) for path in paths))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 2
