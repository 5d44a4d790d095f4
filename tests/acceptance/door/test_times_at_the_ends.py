"""Times at the ends of the calendar, in every field of every route that takes one: kept and usable, or refused."""

from typing import Any

import attrs
from doorkit import ASSEMBLY, Tenant, opened
from ragwork_hooks.http import AnyRoute
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.hostile import TIMES, fields_of
from ragwork_testkit.platform import IDENTITY_PLUGINS

LAST = "9999-12-31T23:59:59+00:00"


def takes_times(kind: Any) -> list[str]:
    if not attrs.has(kind):
        return []
    return [a.name.removesuffix("_") for a, hint in fields_of(kind) if "datetime" in str(hint)]


async def test_every_field_of_every_route_keeps_a_time_or_refuses_it(postgres: PostgresServer) -> None:
    async with opened(postgres, plugins=(*ASSEMBLY, *IDENTITY_PLUGINS)) as app:
        tenant = await Tenant.of(app)
        key = await tenant.key()
        await tenant.corpus(key)
        await tenant.document(key)
        made = await app.call("POST", "/v1/self-serve/api-keys", key, json={"role": "reader"})
        ids = {"document_id": "d1", "key_id": made.data["key_id"], "tenant_id": tenant.name}
        tried: set[tuple[str, str]] = set()
        for route in app.platform.routes:
            for where, kind in (("query", route.query), ("body", route.body)):
                for field in takes_times(kind):
                    tried.add((route.name, field))
                    for time in (*TIMES, "9999-12-31T23:59:59.999999+00:00"):
                        answer = await app.call(
                            route.method, _path(route, ids), key,
                            **({"params": {field: time}} if where == "query" else {"json": _body(route, field, time)}),
                        )  # fmt: skip
                        assert answer.status < 500, (route.name, field, time, answer.text)
                        assert answer.status != 404, (route.name, "teach this test its ids")
        assert len(tried) >= 4, tried


async def test_what_never_ends_can_be_used_and_shown(postgres: PostgresServer) -> None:
    async with opened(postgres) as app:
        tenant = await Tenant.of(app)
        key, bob = await tenant.key("admin", "ann"), await tenant.key("reader", "bob")
        await tenant.corpus(key)
        await tenant.indexed(key)
        grant = {"principal_type": "user", "principal_id": "bob", "permission": "read"}
        path = "/v1/admin/authz/documents/d1/permissions"
        given = await app.call(
            "POST", path, key, json={**grant, "expires_at": "9999-12-31T23:59:59.9999999Z"}
        )
        assert (given.status, given.data["expires_at"]) == (201, LAST)
        assert [g["expires_at"] for g in (await app.call("GET", path, key)).data["items"]][-1] == LAST
        asked = {"corpus_id": "c1", "query": "When does the gate open?"}
        assert (await app.call("POST", "/v1/retrieve", bob, json=asked)).data["passages"]
        made = await app.call("POST", "/v1/self-serve/api-keys", key, json={"role": "reader"})
        kept = await app.call(
            "PATCH", f"/v1/admin/api-keys/{made.data['key_id']}", key, json={"expires_at": LAST}
        )
        assert kept.status == 200, kept.text
        for method, shown in (("GET", "/v1/admin/api-keys"), ("GET", "/v1/corpora")):
            assert (
                await app.call(method, shown, made.data["api_key"] if "corpora" in shown else key)
            ).status == 200


def _path(route: AnyRoute, ids: dict[str, str]) -> str:
    path = route.path
    for name, value in ids.items():
        path = path.replace("{" + name + "}", value)
    return path


def _body(route: AnyRoute, field: str, time: str) -> dict[str, object]:
    body: dict[str, object] = {field: time}
    if route.name.startswith("authz.permissions"):
        body |= {"principal_type": "role", "principal_id": "reader", "permission": "read"}
    return body
