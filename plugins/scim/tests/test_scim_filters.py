"""Filters, order and pages: as SQL the same as by the reference evaluator, and cheap to refuse."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from ragwork_hooks.errors import Problem
from ragwork_scim.protocol.columns import GROUP_COLUMNS, USER_COLUMNS
from ragwork_scim.protocol.filters import condition, order
from ragwork_scim.protocol.models import Group, Person
from scim2_models import Context, ScimFilter

pytestmark = pytest.mark.asyncio(loop_scope="module")
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PEOPLE: list[dict[str, Any]] = [
    {"userName": "ann", "displayName": "Ann Li", "title": "Boss", "externalId": "E1",
     "name": {"givenName": "Ann", "familyName": "Li"},
     "emails": [{"value": "Ann@X.io", "type": "work", "primary": True}, {"value": "a@home", "type": "home"}]},
    {"userName": "Bob", "displayName": "bob", "externalId": "e1", "active": False, "timezone": "",
     "emails": [{"value": "bob@x.io", "type": "Work", "primary": False}], "name": {"givenName": "Ann"}},
    {"userName": "zoë", "title": "boss", "phoneNumbers": [{"value": "1%", "type": "mobile"}],
     ENTERPRISE: {"department": "R_D", "manager": {"value": "M1"}}},
    {"userName": "O'Brien\\\"--", "displayName": "%_\\", "emails": [{"type": "other"}],
     ENTERPRISE: {"manager": {"value": "m1"}}},
    {"userName": "Straße İ", "nickName": "x", "addresses": [{"country": "DE", "type": "work", "primary": True}]},
]  # fmt: skip


@attrs.frozen
class People:
    """How to ask, and who there is."""

    call: Any = attrs.field(repr=False)
    listed: list[Any] = attrs.field(repr=False)
    db: Any = attrs.field(repr=False)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.call, self.listed))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def people(app: Any) -> Any:
    """Users with every kind of attribute, two of them in groups; (client, resources by id)."""
    admin = await app.key("filters")
    made = await app.call("POST", "/v1/admin/identity/scim/token/create", admin)
    token = made.data["token"]

    async def call(method: str, path: str, body: Any = None, **params: str) -> Any:
        headers = {"Accept": "application/scim+json"}
        return await app.call(method, f"/v1/scim/v2{path}", token, json=body, params=params, headers=headers)

    ids = [(await call("POST", "/Users", person)).body["id"] for person in PEOPLE]
    for name, who in (("Team A", ids[:2]), ("team b", ids[1:2]), ("Empty", [])):
        await call("POST", "/Groups", {"displayName": name, "members": [{"value": i} for i in who]})
    listed = (await call("GET", "/Users", count="100")).body["Resources"]
    assert len(listed) == len(PEOPLE)
    return People(call, listed, app.platform.facades["scim"].db)


TEXTS = st.sampled_from([
    "ann", "ANN", "Ann", "bob", "", "a", "work", "home", "boss", "Ann@x.IO", "%", "_", "\\", "'", "o'brien\\\"--",
    "zoë", "ZOE\u0308", "straße i̇", "İ", "E1", "e1", "M1", "r_d", "de", "team a", "direct", "1%", "\u00ff\U0001f600",
])  # fmt: skip
ATTRIBUTES = st.sampled_from([
    "userName", "USERNAME", "displayName", "title", "externalId", "name.givenName", "name.familyName", "nickName",
    "emails", "emails.value", "emails.type", "phoneNumbers", "addresses.country", "groups.display", "groups.type",
    f"{ENTERPRISE}:department", f"{ENTERPRISE}:manager.value", "timezone",
    "urn:ietf:params:scim:schemas:core:2.0:User:userName",
])  # fmt: skip
OPERATORS = st.sampled_from(["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "EQ"])
QUOTED = TEXTS.map(ScimFilter.quote)


def _terms() -> st.SearchStrategy[str]:
    compared = st.builds("{} {} {}".format, ATTRIBUTES, OPERATORS, QUOTED)
    nothing = st.builds("{} {} null".format, ATTRIBUTES, st.sampled_from(["eq", "ne", "gt"]))
    whole = st.sampled_from(
        ["name", "meta", "addresses", "groups", f"{ENTERPRISE}:manager", "active", "schemas"]
    )
    present = st.builds("{} pr".format, ATTRIBUTES | whole)
    boolean = st.builds(
        "{} {} {}".format, st.sampled_from(["active", "emails.primary"]), st.sampled_from(["eq", "ne"]),
        st.sampled_from(["true", "false", '"True"']),
    )  # fmt: skip
    times = st.builds(
        "meta.{} {} {}".format, st.sampled_from(["created", "lastModified"]), OPERATORS.filter(lambda o: len(o) == 2),
        st.sampled_from(['"2011-05-13T04:42:34Z"', '"2099-01-01T00:00:00+02:00"']),
    )  # fmt: skip
    others = st.sampled_from([
        'schemas eq "urn:ietf:params:scim:schemas:core:2.0:User"', 'schemas co "enterprise"',
        'meta.resourceType eq "user"', 'meta.resourceType eq "User"', 'meta.version eq "W/\\"1\\""',
        'id pr', 'id eq "x"',
    ])  # fmt: skip
    inner = st.builds("{} {} {}".format, st.sampled_from(["value", "type", "display"]), OPERATORS, QUOTED)
    inner = inner | st.sampled_from(
        ["primary eq true", "primary pr", "value pr", "type eq null", "not (value pr)"]
    )
    joined = st.builds("{} {} {}".format, inner, st.sampled_from(["and", "or"]), inner)
    selected = st.builds("{}[{}]".format, st.sampled_from(["emails", "phoneNumbers"]), inner | joined)
    return compared | nothing | present | boolean | times | others | selected


FILTERS = st.recursive(
    _terms(),
    lambda part: (
        st.builds("({}) {} ({})".format, part, st.sampled_from(["and", "or", "AND"]), part)
        | part.map("not ({})".format)
    ),
    max_leaves=6,
)


@given(text=FILTERS)
async def test_sql_finds_whom_the_reference_evaluator_finds(people: Any, text: str) -> None:
    _, listed = people
    bound = ScimFilter[Person](text)
    wanted = {
        one["id"]
        for one in listed
        if bound.match(Person.model_validate(one, scim_ctx=Context.DEFAULT), strict=True)
    }
    where = condition(Person, USER_COLUMNS, text)
    assert await matched(people, where) == wanted, where.sql


HOSTILE = [
    "", " ", "(", ")", "pr", "pr and (", "userName", "userName eq", 'userName eq "a', "userName eq 'a'", "eq eq eq",
    'userName eq "a"; DROP TABLE scim.users', "userName eq \"a\" or 1=1", 'userName xx "a"', "nope eq \"a\"",
    'emails[type eq "a"', 'emails[emails[type pr]]', 'userName[value pr]', 'active gt true', 'active eq "maybe"',
    'name eq "x"', 'addresses eq "x"', 'meta eq "x"', "userName eq {}", "userName eq [1]", "userName eq 5",
    'meta.created gt "yesterday"', "password pr", 'password eq "x"', "tenant_id pr", "doc pr", 'u.id eq "x"',
    'userName eq "\\u0000"', 'userName eq "\\ud800"', "userName\x00 pr", "(" * 1_000 + "userName pr" + ")" * 1_000,
    "not (" * 300 + "userName pr" + ")" * 300, "userName pr and " * 1_000,
    " or ".join(["userName pr"] * 41), 'userName eq "' + "a" * 1_000_000 + '"', "\u202euserName pr", "userName eq .*",
    "name.givenName.x pr", "emails.value.x pr", "urn:x:y:userName pr", "userName eq 1e999", "id.x pr",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
async def test_a_hostile_filter_is_refused_in_no_time(people: Any, text: str) -> None:
    call, _ = people
    started = time.thread_time()
    with pytest.raises(Problem) as refused:
        condition(Person, USER_COLUMNS, text)
    assert time.thread_time() - started < 0.05
    assert (refused.value.status, refused.value.details["scimType"]) == (400, "invalidFilter")
    if 0 < len(text) < 2_000 and "\x00" not in text:
        answer = await call("GET", "/Users", filter=text)
        assert (answer.status, answer.body["scimType"]) == (400, "invalidFilter"), answer.text
    if len(text) < 100_000:
        searched = await call("POST", "/Users/.search", {"filter": text})
        assert searched.status == 400


WORDS = st.sampled_from([
    "userName", "emails", "[", "]", "(", ")", "eq", "pr", "and", "not", '"a"', "true", ".", "value", "\\", "'", "$1",
])  # fmt: skip


@given(text=st.text(max_size=60) | st.lists(WORDS, max_size=14).map(" ".join))
async def test_any_text_is_a_filter_or_is_refused(people: Any, text: str) -> None:
    with contextlib.suppress(Problem):
        where = condition(Person, USER_COLUMNS, text)
        await matched(people, where)


async def matched(people: Any, where: Any) -> set[str]:
    """Ids of the users that a condition is true of; it is false of all others, never null."""
    async with people.db.tenant("filters", "read") as tx:
        sql = f"SELECT u.id, {where.sql} AS yes FROM scim.users u"
        rows = await tx.fetch(sql, *where.parameters)
    assert {type(row["yes"]) for row in rows} == {bool}
    return {row["id"] for row in rows if row["yes"]}


async def test_groups_are_found_by_name_and_member(people: Any) -> None:
    call, listed = people
    for filter, names in (
        ('displayName eq "TEAM A"', ["Team A"]), ('displayName sw "team"', ["Team A", "team b"]),
        (f'members.value eq "{listed[1]["id"]}"', ["Team A", "team b"]), ("members pr", ["Team A", "team b"]),
        (f'members[value eq "{listed[0]["id"]}" and type eq "User"]', ["Team A"]), ("not (members pr)", ["Empty"]),
        ('members.display co "ann"', ["Team A"]), ("externalId pr", []),
        ("externalId eq null", ["Team A", "team b", "Empty"]),
    ):  # fmt: skip
        found = await call("GET", "/Groups", filter=filter)
        assert [one["displayName"] for one in found.body["Resources"]] == names, filter
    with pytest.raises(Problem):
        condition(Group, GROUP_COLUMNS, "userName pr")


async def test_lists_are_sorted_by_code_point_with_the_missing_last(people: Any) -> None:
    call, _ = people

    async def names(**query: str) -> list[str]:
        listed = await call("GET", "/Users", attributes="userName", **query)
        return [one["userName"][:3] for one in listed.body["Resources"]]

    assert await names(sortBy="userName") == ["ann", "Bob", "O'B", "Str", "zoë"]
    assert await names(sortBy="userName", sortOrder="descending") == ["zoë", "Str", "O'B", "Bob", "ann"]
    assert await names(sortBy="title") == ["ann", "zoë", "Bob", "O'B", "Str"]
    assert await names(sortBy="title", sortOrder="DESCENDING") == ["Bob", "O'B", "Str", "ann", "zoë"]
    assert (await names(sortBy="emails"))[:2] == ["ann", "Bob"]
    assert (await names(sortBy="groups.display"))[:2] == ["ann", "Bob"]
    assert await names(sortBy="meta.created") == ["ann", "Bob", "zoë", "O'B", "Str"]
    for query in ({"sortBy": "nope"}, {"sortBy": "name"}, {"sortBy": "emails[type pr]"}, {"sortBy": "a b"},
                  {"sortBy": "userName", "sortOrder": "up"}, {"sortBy": "userName; DROP"}):  # fmt: skip
        assert (await call("GET", "/Users", **query)).status == 400, query
    with pytest.raises(Problem):
        order(Person, USER_COLUMNS, "addresses", descending=False)


async def test_pages_cover_everybody_once(people: Any) -> None:
    call, listed = people
    seen: list[str] = []
    for start in range(1, 8, 2):
        page = (await call("GET", "/Users", startIndex=str(start), count="2")).body
        assert (page["totalResults"], page["startIndex"]) == (5, start)
        assert page["itemsPerPage"] == len(page["Resources"])
        seen += [one["id"] for one in page["Resources"]]
    assert seen == [one["id"] for one in listed]
    for query, length, start in (
        ({"count": "0"}, 0, 1), ({"count": "-5"}, 0, 1), ({"startIndex": "0"}, 5, 1), ({"startIndex": "-3"}, 5, 1),
        ({"startIndex": "9999999999"}, 0, 2**31 - 1), ({"count": "9999"}, 5, 1),
    ):  # fmt: skip
        page = (await call("GET", "/Users", **query)).body
        assert (page["totalResults"], len(page["Resources"]), page["startIndex"]) == (5, length, start), query
    assert (await call("GET", "/Users", count="x")).status == 400


async def test_a_search_over_both_types_is_one_list(people: Any) -> None:
    call, _ = people
    everything = (await call("POST", "/.search", {"count": 100})).body
    assert (everything["totalResults"], len(everything["Resources"])) == (8, 8)
    middle = (await call("POST", "/.search", {"startIndex": 4, "count": 3})).body["Resources"]
    assert middle == everything["Resources"][3:6]
    named = (await call("POST", "/.search", {"filter": 'displayName sw "team" or userName eq "ann"'})).body
    assert [one.get("userName", one["displayName"]) for one in named["Resources"]] == [
        "ann",
        "Team A",
        "team b",
    ]
    for body in (
        {"filter": "("},
        {"count": "x"},
        {"nope": 1},
        {"attributes": "id"},
        {"filter": 5},
        {"filter": "a" * 9000},
    ):
        assert (await call("POST", "/.search", body)).status == 400, body
    assert (await call("POST", "/.search", {"sortBy": "id"})).status == 501
    assert [
        (await call(m, p, {} if m == "POST" else None)).status for m, p in (("GET", "/Me"), ("POST", "/Bulk"))
    ] == [501, 501]
