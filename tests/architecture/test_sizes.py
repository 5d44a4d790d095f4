"""What is stored has a size and what is listed has pages, in every route of the assembly."""

import typing
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import attrs
import pytest
from ragwork_hooks.errors import Problem
from ragwork_hooks.fields import SCHEMA, wire_name
from ragwork_hooks.http import AnyRoute, Page, Upload
from ragwork_kernel.base import bounds, json_codec
from ragwork_testkit.hostile import fields_of
from ragwork_testkit.platform import ALL_PLUGINS, DOOR_SETTINGS, Running

Start = Callable[..., AbstractAsyncContextManager[Running]]
ASSEMBLY: dict[str, Any] = {
    "plugins": ALL_PLUGINS,
    "settings": DOOR_SETTINGS,
}
#: Free JSON that is measured later than the others, and by what: the bound of policies has an error code of its own.
MEASURED_LATER = {("PolicyCreateRequest", "condition_json"), ("PolicyPatchRequest", "condition_json")}
LARGEST_JSON = 1_000_000
#: Lists without a page, and why.
WHOLE = {
    "health.health.get": "the parts of this process that still warm up",
    "health.ready.get": "the parts of this process that still warm up",
    "plans.list": "the plans are configured, a handful",
    "plans.get": "a plan has as many features as the code knows",
    "selfserve.plan.get": "a plan has as many features as the code knows",
    "selfserve.usage.timeseries": "bounded by its days",
    "audit.proof": "a proof is as long as the tree is deep",
    "audit.checkpoint": "a proof is as long as the tree is deep",
    "documents.get": "the warnings of one document, of which so many are kept",
    "evals.compare": "the metrics, a handful",
    "explain.get": "the gates that one request met",
    "ops.health": "the schedules that the plugins declare",
    "ops.ingestion": "the commonest reasons, not the failures",
    "sso.providers": "a tenant has a bounded number of providers",
    "oauth.jwks": "RFC 7517: the whole set; each tenant has a bounded share of it",
    "oauth2.metadata": "RFC 8414: one document",
    "oauth.revoked_tokens": "its bytes are what a verifier must know whole: revoked tokens that are not over",
    "agents.get": "one agent, its lists are bounded as it is written",
    "scim.config": "RFC 7644: one resource",
    "scim.base": "RFC 7644: the two resource types",
    "scim.types": "RFC 7644: the two resource types",
    "scim.schemas": "RFC 7644: the schemas, fixed",
    "tokens.certificate": "one certificate",
    "policies.compare": "one text, of two bounded ones",
    "sync.credential": "one credential",
}


def classes_in(kind: Any, seen: set[Any]) -> Iterator[Any]:
    if kind in seen or kind is Upload:
        return
    if not attrs.has(kind):
        for inner in typing.get_args(kind):
            yield from classes_in(inner, seen)
        return
    seen.add(kind)
    yield kind
    for _field, hint in fields_of(kind):
        yield from classes_in(hint, seen)


def lists(route: AnyRoute) -> bool:
    """Whether an answer may be, or hold, a list; one object by its id does not count without a class."""
    answer = route.response
    origin = typing.get_origin(answer)
    if origin in (list, Page):
        return True
    if attrs.has(answer):
        return any(bounds.is_list(field.type) for field in attrs.fields(answer))
    return origin is dict and not route.path.endswith("}")


async def test_free_json_and_texts_of_every_body_have_a_bound(platform: Start) -> None:
    async with platform(**ASSEMBLY) as app:
        seen: set[Any] = set()
        kinds = [kind for route in app.platform.routes for kind in classes_in(route.body, seen)]
    free = [(kind, field) for kind in kinds for field in attrs.fields(kind) if bounds.is_free(field.type)]
    assert len(free) > 15
    for kind, field in free:
        most = bounds.max_json(field)
        assert most <= LARGEST_JSON or (kind.__name__, field.name) in MEASURED_LATER
        value: Any = {"a": "x" * most}
        with pytest.raises(Problem) as refused:
            json_codec.structure({field.name: [value] if bounds.is_list(field.type) else value}, kind, "body")
        rows: Any = refused.value.details["errors"]
        assert [(row["type"], row["loc"]) for row in rows] == [
            ("json_too_large", ["body", wire_name(field.name)])
        ]
    texts = [(k, f) for k in kinds for f, hint in fields_of(k) if str in (hint, *typing.get_args(hint)[:1])]
    assert len(texts) > 50
    assert not [
        (kind.__name__, field.name)
        for kind, field in texts
        if not (bounds.is_list(field.type) or bounds.is_free(field.type))
        and not {"maxLength", "enum"} & set(field.metadata.get(SCHEMA, {}))
    ]


async def test_every_list_has_pages(platform: Start) -> None:
    async with platform(**ASSEMBLY) as app:
        routes = [route for route in app.platform.routes if route.method == "GET" and lists(route)]
    paged = {
        route.name
        for route in routes
        if attrs.has(route.query) and {"limit", "count"} & {f.name for f in attrs.fields(route.query)}
    }
    assert len(paged) > 15
    assert {route.name for route in routes} - paged - set(WHOLE) == set()
    assert not set(WHOLE) & paged, "has pages now: no exception any more"


async def test_integrations_have_a_size_and_pages(platform: Start) -> None:
    async with platform(**ASSEMBLY) as app:
        key = await app.key()
        path = "/api/v1/integrations"
        large = await app.call("PUT", f"{path}/a", key, json={"capabilities": {"a": "x" * 900_000}})
        assert (large.status, "16384" in str(large.body)) == (400, True)
        for name in "abc":
            put = await app.call("PUT", f"{path}/{name}", key, json={"capabilities": {"a": "x" * 16_000}})
            assert put.status == 200, put.body
        pages = [await app.call("GET", f"{path}?limit=2&offset={offset}", key) for offset in (0, 2)]
        found = [[one["name"] for one in page.body["integrations"]] for page in pages]
        assert found == [["a", "b"], ["c"]]
        assert (await app.call("GET", f"{path}?limit=201", key)).status == 400
