"""Requests as hostile clients send them, and the headers and shapes of every answer."""

import asyncio
import gzip
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import asyncpg
import attrs
import pytest
import pytest_asyncio
from ragwork_hooks.authz import Deny
from ragwork_hooks.errors import Problem
from ragwork_hooks.fields import number
from ragwork_hooks.http import File, Response, Upload
from ragwork_kernel.data import migrations
from ragwork_kernel.request.responses import SECURITY_HEADERS
from ragwork_testkit.database import FreshDatabase, PostgresServer
from serving import StepGate, public, route, serving

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ORIGIN = "https://app.example"


@attrs.frozen(kw_only=True)
class Text:
    text: str
    count: int = number(default=1, ge=1, le=9)


@attrs.frozen(kw_only=True)
class Form:
    name: str
    file: Upload
    overwrite: bool = False


@attrs.frozen(kw_only=True)
class Paging:
    limit: int = number(default=25, ge=1, le=100)
    exact: bool = False
    q: str | None = None


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(postgres: PostgresServer) -> AsyncIterator[FreshDatabase]:
    """One database for this module: its tests keep nothing in it, or only in tables of their own."""
    async with postgres.database([migrations.KERNEL]) as fresh:
        yield fresh


async def echo(call: Any) -> object:
    return {"body": call.body, "query": call.query, "path": dict(call.path), "echo_id": call.echo_id}


async def uploaded(call: Any) -> object:
    file = call.body.file
    return {
        "name": call.body.name,
        "filename": file.filename,
        "type": file.content_type,
        "bytes": len(file.data),
    }


POST = {"method": "POST", "body": Text, "body_kind": "json", "body_limit": 1000}


def posted(body: bytes, *headers: str, path: str = "/v1/things") -> bytes:
    """A POST of ``body`` whose connection the server closes."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: h",
        "Authorization: Bearer t1.ann.reader",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


# --- bodies -------------------------------------------------------------------------------------


async def test_a_declared_oversize_is_refused_before_the_body_is_read(database: FreshDatabase) -> None:
    async with serving(database.app, route(echo, **POST)) as served:
        answer = await served.raw(posted(b"", "Content-Type: application/json", "Content-Length: 1001"), 0.5)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"PAYLOAD_TOO_LARGE"' in answer
    assert b'"max_bytes":1000' in answer


@pytest.mark.parametrize("size", [999, 1000, 1001, 100_000])
@pytest.mark.parametrize("encoding", ["plain", "chunked", "gzip"])
async def test_bytes_are_counted_however_they_arrive(
    database: FreshDatabase, size: int, encoding: str
) -> None:
    body = b'{"text":"' + b"x" * (size - 11) + b'"}'
    assert len(body) == size
    headers = {"Content-Type": "application/json"}

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(sent), 300):
            yield sent[start : start + 300]

    sent = gzip.compress(body) if encoding == "gzip" else body
    if encoding == "gzip":
        headers["Content-Encoding"] = "gzip"
    data: Any = chunks() if encoding == "chunked" else sent
    async with serving(database.app, route(echo, **POST)) as served:
        try:
            status, _, _ = await served.call("POST", data=data, headers=headers)
        except aiohttp.ClientConnectionError:
            status = 413  # refused and closed while the client was still sending
    assert status == (200 if size <= 1000 else 413)


async def test_a_gzip_bomb_is_cut_off_by_its_unpacked_size(database: FreshDatabase) -> None:
    bomb = gzip.compress(b'{"text":"' + b"x" * 50_000_000 + b'"}')
    assert len(bomb) < 100_000
    declared = route(echo, **{**POST, "body_limit": 1_000_000})
    async with serving(database.app, declared) as served:
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        status, answer, _ = await served.call("POST", data=bomb, headers=headers)
    assert (status, answer["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", (), 422),
        (b'"\xff"', (), 422),
        (b"\xff\xfe{}", (), 422),
        (b'{"text":"\\ud800"}', (), 422),
        (b'{"text":"a","count":"1"}', (), 422),
        (b'{"text":"a","count":99}', (), 422),
        (b'{"text":"a","tenant_id":"t2"}', (), 400),
        (b'{"text":"a"}', ("Content-Type: text/plain",), 415),
        (b'{"text":"a"}', ("Content-Type: application/x-www-form-urlencoded",), 415),
        (b"not gzip", ("Content-Type: application/json", "Content-Encoding: gzip"), 400),
        (b"", (), 422),
        (b"[" * 900, (), 422),
    ],
)
async def test_a_bad_body_is_refused_in_the_envelope(
    database: FreshDatabase, body: bytes, headers: tuple[str, ...], status: int
) -> None:
    given = (
        headers
        if any(h.startswith("Content-Type") for h in headers)
        else (*headers, "Content-Type: application/json")
    )
    async with serving(database.app, route(echo, **POST)) as served:
        answer = await served.raw(posted(body, *given, f"Content-Length: {len(body)}"))
    assert answer.startswith(b"HTTP/1.1 %d" % status), answer
    assert b'"error":{"code":' in answer


async def test_an_optional_body_may_be_absent(database: FreshDatabase) -> None:
    declared = route(echo, method="POST", body=Paging, body_kind="optional_json")
    async with serving(database.app, declared) as served:
        status, answer, _ = await served.call("POST")
    assert (status, answer["data"]["body"]["limit"]) == (200, 25)


async def test_a_form_arrives_with_its_file_and_typed_fields(database: FreshDatabase) -> None:
    declared = route(uploaded, method="POST", body=Form, body_kind="multipart")
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("name", "n")
    form.add_field("overwrite", "true")
    form.add_field(
        "file", b"content", filename="../../etc/passwd", content_type="Text/Markdown; charset=utf-8"
    )
    async with serving(database.app, declared) as served:
        status, answer, _ = await served.call("POST", data=form)
    assert status == 200
    assert answer["data"] == {
        "name": "n",
        "filename": "../../etc/passwd",
        "type": "text/markdown",
        "bytes": 7,
    }


@pytest.mark.parametrize(("filename", "label"), [("a.JSON", None), ("a", "application/json; charset=utf-8")])
async def test_a_file_of_json_is_looked_over_like_a_body(
    database: FreshDatabase, filename: str, label: str | None
) -> None:
    declared = route(uploaded, method="POST", body=Form, body_kind="multipart")
    form = aiohttp.FormData()
    form.add_field("name", "n")
    form.add_field("file", b"[" + b"[]," * 100_001 + b"[]]", filename=filename, content_type=label)
    async with serving(database.app, declared) as served:
        status, answer, _ = await served.call("POST", data=form)
    assert status == 422
    assert answer["error"]["details"]["errors"][0]["type"] == "too_many_values"


async def test_a_text_that_is_called_like_json_is_a_text(database: FreshDatabase) -> None:
    declared = route(uploaded, method="POST", body=Form, body_kind="multipart")
    form = aiohttp.FormData()
    form.add_field("name", "n")
    form.add_field("file", b"[" * 100_001, filename="a.json", content_type="text/plain")
    async with serving(database.app, declared) as served:
        status, _, _ = await served.call("POST", data=form)
    assert status == 200


PART = '--b\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n{}\r\n'
FILE = PART.format("file", '; filename="f"', "x")
NAME = PART.format("name", "", "n")


@pytest.mark.parametrize(
    ("form", "status"),
    [
        (NAME + FILE + "--b--\r\n", 200),
        (NAME + FILE, 422),
        (NAME + NAME + FILE + "--b--\r\n", 422),
        (NAME + FILE + PART.format("extra", "", "1") + "--b--\r\n", 422),
        (FILE + "--b--\r\n", 422),
        (PART.format("tenant_id", "", "t2") + NAME + FILE + "--b--\r\n", 400),
        ("".join(PART.format(f"p{n}", "", "1") for n in range(30)) + "--b--\r\n", 422),
        ("nothing like a form", 422),
        ("", 422),
        ("--b\r\n\r\nno headers\r\n--b--\r\n", 422),
        ("--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--\r\n", 422),
        ("--b\r\n" + "X: y\r\n" * 5 + "broken header\r\n\r\n\r\n--b--", 422),
    ],
)
async def test_a_form_is_taken_whole_or_refused(database: FreshDatabase, form: str, status: int) -> None:
    declared = route(uploaded, method="POST", body=Form, body_kind="multipart")
    body = form.encode()
    async with serving(database.app, declared) as served:
        answer = await served.raw(
            posted(body, "Content-Type: multipart/form-data; boundary=b", f"Content-Length: {len(body)}")
        )
    assert answer.startswith(b"HTTP/1.1 %d" % status), answer


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/mixed; boundary=b", "application/json"])
async def test_a_form_without_a_boundary_or_of_another_type_is_refused(
    database: FreshDatabase, kind: str
) -> None:
    declared = route(uploaded, method="POST", body=Form, body_kind="multipart")
    async with serving(database.app, declared) as served:
        answer = await served.raw(posted(b"x", f"Content-Type: {kind}", "Content-Length: 1"))
    assert answer[9:12] in (b"415", b"422"), answer
    assert b'"error"' in answer


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\x00b", b"=?utf-8?q?a?=", b"a" * 5000])
async def test_hostile_part_and_file_names_never_break_the_answer(
    database: FreshDatabase, name: bytes
) -> None:
    declared = route(uploaded, method="POST", body=Form, body_kind="multipart")
    hostile = b'--b\r\nContent-Disposition: form-data; name="%b"; filename="%b"\r\n\r\nx\r\n' % (name, name)
    named = b'--b\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\nx\r\n' % name
    for form in (NAME.encode() + hostile, NAME.encode() + named):
        body = form + b"--b--\r\n"
        async with serving(database.app, declared) as served:
            answer = await served.raw(
                posted(body, "Content-Type: multipart/form-data; boundary=b", f"Content-Length: {len(body)}")
            )
        assert answer[9:12] in (b"200", b"400", b"422"), answer
        assert b'"meta":{"request_id"' in answer


async def test_a_form_over_the_limit_is_cut_while_it_is_read(database: FreshDatabase) -> None:
    declared = route(uploaded, method="POST", body=Form, body_kind="multipart", body_limit=1000)

    async def chunks() -> AsyncIterator[bytes]:
        yield NAME.encode() + FILE.removesuffix("x\r\n").encode()
        for _ in range(100):
            yield b"x" * 1000

    async with serving(database.app, declared) as served:
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        try:
            status, _, _ = await served.call("POST", data=chunks(), headers=headers)
        except aiohttp.ClientConnectionError:
            status = 413
    assert status == 413


def got(path: str) -> bytes:
    """A GET whose connection the server closes."""
    head = "Host: h\r\nAuthorization: Bearer t1.a.reader\r\nConnection: close"
    return f"GET {path} HTTP/1.1\r\n{head}\r\n\r\n".encode()


# --- query and path -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 200),
        ("?limit=5&exact=true&q=%C3%A4", 200),
        ("?limit=5&limit=6", 422),
        ("?limit=0", 422),
        ("?limit=101", 422),
        ("?limit=x", 422),
        ("?limit=5.0", 422),
        ("?limit=" + "9" * 400, 422),
        ("?exact=maybe", 422),
        ("?unknown=1", 422),
        ("?tenant_id=t2", 400),
        ("?q=%FF%FE", 200),
    ],
)
async def test_query_parameters_are_typed_bounded_and_known(
    database: FreshDatabase, query: str, status: int
) -> None:
    async with serving(database.app, route(echo, query=Paging)) as served:
        answer = await served.raw(got(f"/v1/things{query}"))
    assert answer.startswith(b"HTTP/1.1 %d" % status), answer
    assert b'"meta"' in answer


@pytest.mark.parametrize("wrong", ["%00", "a%00b", "a" * 257, "%0d%0aX-Evil:1", "%C2%85", "%E2%80%A8"])
async def test_an_id_that_nothing_can_have_is_a_missing_one(database: FreshDatabase, wrong: str) -> None:
    async with serving(database.app, route(echo, path="/v1/things/{id}")) as served:
        answer = await served.raw(got(f"/v1/things/{wrong}"))
    assert answer.startswith(b"HTTP/1.1 404"), answer
    assert b'"NOT_FOUND"' in answer
    assert b"X-Evil" not in answer.partition(b"\r\n\r\n")[0]


# --- time ---------------------------------------------------------------------------------------


async def test_a_deadline_never_cuts_a_commit(database: FreshDatabase) -> None:
    owner = await asyncpg.connect(database.owner)
    await owner.execute(
        """CREATE TABLE ragwork.slow (tenant_id text PRIMARY KEY);
        GRANT SELECT, INSERT ON ragwork.slow TO ragwork_app;
        CREATE FUNCTION ragwork.dawdle() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_sleep(0.6); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON ragwork.slow
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ragwork.dawdle()"""
    )

    async def insert(call: Any) -> dict[str, str]:
        await call.tx.execute("INSERT INTO ragwork.slow VALUES (ragwork.tenant())")
        return {"done": "yes"}

    slow = route(insert, method="POST", transaction="write", rate_class="mutation")
    async with serving(database.app, slow, request_timeout_s=0.3) as served:
        status, answer, _ = await served.call("POST")
    kept = await owner.fetchval("SELECT count(*) FROM ragwork.slow")
    await owner.close()
    assert (status, kept) == (200, 1), answer


async def test_the_deadline_answers_503_and_rolls_back(database: FreshDatabase) -> None:
    owner = await asyncpg.connect(database.admin)
    await owner.execute("CREATE TABLE public.slow (id int); GRANT ALL ON public.slow TO ragwork_app")

    async def slow(call: Any) -> object:
        await call.tx.execute("INSERT INTO public.slow VALUES (1)")
        await asyncio.sleep(30)
        return {}

    async def fast(call: Any) -> object:
        return {"rows": await call.tx.fetchval("SELECT count(*) FROM public.slow")}

    routes = (
        route(slow, method="POST", transaction="write", rate_class="mutation"),
        route(fast, name="things.count", path="/v1/count", transaction="read"),
    )
    async with serving(database.app, *routes, request_timeout_s=0.3) as served:
        status, answer, response = await served.call("POST")
        assert (status, answer["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert response.headers["Retry-After"] == "1"
        assert (await served.call("GET", "/v1/count"))[1]["data"] == {"rows": 0}
    assert await owner.fetchval("SELECT count(*) FROM public.slow") == 0
    await owner.close()


async def test_a_client_that_withholds_its_body_meets_the_deadline(database: FreshDatabase) -> None:
    async with serving(database.app, route(echo, **POST), body_timeout_s=0.2) as served:
        answer = await served.raw(posted(b'{"te', "Content-Type: application/json", "Content-Length: 100"), 2)
    assert answer.startswith(b"HTTP/1.1 408"), answer


async def test_a_body_that_arrives_slowly_leaves_the_work_its_time(database: FreshDatabase) -> None:
    async def slow() -> AsyncIterator[bytes]:
        for piece in (b'{"text"', b":", b'"a"}'):
            yield piece
            await asyncio.sleep(0.2)

    json = {"Content-Type": "application/json"}
    async with serving(database.app, route(echo, **POST), request_timeout_s=0.4) as served:
        assert (await served.call("POST", data=slow(), headers=json))[0] == 200


# --- headers and shapes -------------------------------------------------------------------------


async def boom(_call: Any) -> object:
    raise RuntimeError("secret cause")


async def unencodable(_call: Any) -> object:
    return {"bad": "\ud800"}


EVERY = (
    public(echo, name="a", path="/v1/ok"),
    route(echo, name="b", path="/v1/things"),
    public(boom, name="c", path="/v1/boom"),
    public(unencodable, name="d", path="/v1/unencodable"),
    public(echo, name="e", path="/v1/post", **{k: v for k, v in POST.items() if k != "body_limit"}),
)
#: Where plugins and the kernel describe the API and themselves.
TOLD = tuple(public(echo, name=path, path=path) for path in ("/v1/docs", "/v1/openapi.json", "/v1/health"))
ANSWERS = [
    ("GET", "/v1/ok", 200), ("GET", "/v1/things", 401), ("GET", "/v1/boom", 500), ("GET", "/v1/none", 404),
    ("DELETE", "/v1/ok", 405), ("POST", "/v1/post", 422), ("GET", "/v1/unencodable", 500), ("GET", "/docs", 307),
    ("OPTIONS", "/v1/ok", 204), ("HEAD", "/v1/ok", 200), ("HEAD", "/v1/post", 405), ("GET", "/", 200),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "status"), ANSWERS)
async def test_every_answer_carries_the_security_headers_and_a_request_id(
    database: FreshDatabase, method: str, path: str, status: int
) -> None:
    async with serving(database.app, *EVERY, *TOLD, cors_allow_origins=(ORIGIN,)) as served:
        headers = {"Origin": ORIGIN, "X-Request-Id": "req-1"}
        got, answer, response = await served.call(method, path, None, headers=headers)
    assert got == status
    for name, value in SECURITY_HEADERS.items():
        assert response.headers[name] == value
    assert response.headers["X-Request-Id"] == "req-1"
    if status >= 400 and method != "HEAD":
        assert answer["meta"] == {"request_id": "req-1", "api_version": "v1"}
        assert set(answer["error"]) <= {"code", "message", "details"}
    assert "secret cause" not in str(answer)


@pytest.mark.parametrize(
    "sent", ["", "a" * 65, "with space", "ünicode", "semi;colon", '"quoted"', "../up", "a,b", "<script>"]
)
async def test_an_unsafe_request_id_is_replaced(database: FreshDatabase, sent: str) -> None:
    async with serving(database.app, *EVERY) as served:
        _, answer, response = await served.call(path="/v1/ok", headers={"X-Request-Id": sent})
    assert UUID.fullmatch(answer["meta"]["request_id"])
    assert response.headers["X-Request-Id"] == answer["meta"]["request_id"] == answer["data"]["echo_id"]


async def test_a_method_a_path_does_not_take_names_those_it_does(database: FreshDatabase) -> None:
    async with serving(database.app, *EVERY) as served:
        status, answer, response = await served.call("DELETE", "/v1/things")
    assert (status, answer["error"]["code"], response.headers["Allow"]) == (
        405,
        "METHOD_NOT_ALLOWED",
        "GET, HEAD",
    )


async def test_refusals_of_unknown_paths_share_one_metrics_label(database: FreshDatabase) -> None:
    async with serving(database.app, *EVERY) as served:
        for n in range(5):
            await served.call(path=f"/v1/guess-{n}")
        exposed = served.telemetry.expose().decode()
    assert 'path="other",status="404"} 5.0' in exposed
    assert "guess" not in exposed


def cors(response: aiohttp.ClientResponse) -> Mapping[str, str]:
    return {k: v for k, v in response.headers.items() if k.startswith("Access-Control")}


@pytest.mark.parametrize(
    ("allowed", "origin", "granted"),
    [
        ((), ORIGIN, False),
        ((ORIGIN,), ORIGIN, True),
        ((ORIGIN,), "https://app.example.evil", False),
        ((ORIGIN,), "http://app.example", False),
        ((ORIGIN,), "null", False),
        (("*",), ORIGIN, False),
    ],
)
async def test_browsers_of_other_origins_are_denied_by_default(
    database: FreshDatabase, allowed: tuple[str, ...], origin: str, granted: bool
) -> None:
    preflight = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    async with serving(database.app, *EVERY, cors_allow_origins=allowed) as served:
        for path in ("/v1/ok", "/v1/none", "/v1/things"):
            _, _, response = await served.call(path=path, token=None, headers={"Origin": origin})
            assert (cors(response).get("Access-Control-Allow-Origin") == origin) == granted
            assert ("Access-Control-Expose-Headers" in cors(response)) == granted
            assert ("Origin" in response.headers.get("Vary", "")) == granted
        status, _, response = await served.call("OPTIONS", "/v1/things", None, headers=preflight)
    assert (status == 204) == granted
    assert bool(cors(response)) == granted
    assert response.headers.get("Access-Control-Allow-Credentials") is None


async def test_a_preflight_names_methods_and_headers_and_needs_no_credentials(
    database: FreshDatabase,
) -> None:
    async with serving(database.app, *EVERY, cors_allow_origins=(ORIGIN,)) as served:
        headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
        status, _, response = await served.call("OPTIONS", "/v1/things", None, headers=headers)
        assert (status, response.headers["Access-Control-Allow-Methods"]) == (204, "GET, HEAD")
        assert response.headers["Access-Control-Max-Age"] == "600"
        assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
        status, _, _ = await served.call("OPTIONS", "/v1/none", None, headers=headers)
        assert status == 404


async def test_a_script_may_read_what_stands_on_an_answer_beside_its_data(database: FreshDatabase) -> None:
    async def told(_call: Any) -> object:
        return Response(data={}, headers={"X-Quota-Day-Used": "1", "ETag": '"a"'})

    limited = StepGate(Deny("RATE_LIMITED", "slow", headers={"Retry-After": "9", "X-Own-Limit": "2"}))
    for gates in ((), (limited,)):
        served_with = {"cors_allow_origins": (ORIGIN,), **({"gates": gates} if gates else {})}
        async with serving(database.app, route(told, legacy=True), **served_with) as served:
            for path in ("/v1/things", "/things", "/v1/none"):
                _, _, response = await served.call(path=path, headers={"Origin": ORIGIN})
                exposed = set(response.headers["Access-Control-Expose-Headers"].lower().split(", "))
                safelisted = {"cache-control", "content-type", "content-length", "date", "vary"}
                readable = {name.lower() for name in response.headers} - safelisted
                own = {n for n in readable if n not in {k.lower() for k in SECURITY_HEADERS}}
                assert {n for n in own if not n.startswith("access-control")} <= exposed
                assert {"x-request-id", "retry-after", "server-timing", "deprecation", "sunset"} <= exposed


async def test_head_answers_as_get_without_the_body(database: FreshDatabase) -> None:
    async def read(call: Any) -> object:
        if call.path["name"] == "file":
            return File(data=b"12345", mime="text/plain")
        return await missing(call) if call.path["name"] == "none" else {"a": 1}

    reading = route(read, path="/v1/things/{name}", legacy=True)
    async with serving(database.app, reading, *EVERY, *TOLD) as served:
        for path in (
            "/v1/things/file",
            "/v1/things/none",
            "/v1/things/x",
            "/things/x",
            "/v1/ok",
            "/",
            "/docs",
            "/nowhere",
        ):
            got = await served.call("GET", path)
            head = await served.call("HEAD", path)
            assert (head[0], head[1]) == (got[0], "")
            differing = ("date", "x-request-id", "server-timing")
            headers = [{k.lower(): v for k, v in r[2].headers.items() if v != "0"} for r in (got, head)]
            kept = [{k: v for k, v in found.items() if k not in differing} for found in headers]
            assert kept[0] == kept[1], path


async def test_the_root_leads_on_and_tells_no_version(database: FreshDatabase) -> None:
    async with serving(database.app, *EVERY, *TOLD) as served:
        status, page, response = await served.call(path="/", token=None)
    assert (status, response.content_type) == (200, "text/html")
    assert re.findall('href="(.*?)"', page) == ["/v1/docs", "/v1/openapi.json", "/v1/health"]
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert not re.search(r"\d+\.\d+\.\d+", page)


async def test_nothing_leads_to_a_description_that_no_plugin_gives(database: FreshDatabase) -> None:
    async with serving(database.app, *EVERY) as served:
        assert "href" not in (await served.call(path="/", token=None))[1]
        for path in ("/docs", "/openapi.json", "/nowhere"):
            status, answer, _ = await served.call(path=path, token=None)
            assert (status, answer["error"]["message"]) == (404, "no such path")
    async with serving(database.app, *EVERY, *TOLD) as served:
        _, answer, _ = await served.call(path="/nowhere", token=None)
        assert answer["error"]["message"] == "no such path; /v1/docs lists them"


async def missing(_call: Any) -> object:
    raise Problem("NOT_FOUND", "gone", details={"hint": "x"})


LEGACY = (
    route(echo, name="a", path="/v1/things", query=Paging, legacy=True),
    route(missing, name="b", path="/v1/missing", legacy=True),
    route(boom, name="c", path="/v1/boom", legacy=True),
    route(echo, name="d", path="/v1/new"),
)


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/missing", 404, {"detail": {"code": "NOT_FOUND", "message": "gone", "hint": "x"}}),
        ("/boom", 500, {"detail": "Internal Server Error"}),
    ],
)
async def test_unversioned_paths_answer_errors_as_they_always_did(
    database: FreshDatabase, path: str, status: int, body: object
) -> None:
    async with serving(database.app, *LEGACY) as served:
        got, answer, response = await served.call(path=path)
    assert (got, answer) == (status, body)
    assert response.headers["Deprecation"] == "true"


async def test_unversioned_paths_are_not_enveloped_say_their_end_and_check_the_same(
    database: FreshDatabase,
) -> None:
    async with serving(
        database.app, *LEGACY, gates=(StepGate(),), legacy_sunset="Sun, 10 May 2026 00:00:00 +0000"
    ) as served:
        status, answer, response = await served.call(path="/things?limit=7")
        assert (status, answer["query"]["limit"]) == (200, 7)
        assert response.headers["Sunset"] == "Sun, 10 May 2026 00:00:00 +0000"
        assert response.headers["Link"] == '</v1/docs>; rel="successor-version"'
        assert (await served.call(path="/things?limit=0"))[1]["detail"][0]["loc"] == ["query", "limit"]
        assert (await served.call(path="/things", token=None))[0] == 401
        assert (await served.call(path="/new"))[0] == 404
        _, _, versioned = await served.call(path="/v1/things")
        assert "Deprecation" not in versioned.headers


async def test_an_operator_can_end_the_unversioned_paths(database: FreshDatabase) -> None:
    async with serving(database.app, *LEGACY, legacy_aliases="gone") as served:
        status, answer, response = await served.call(path="/things")
        assert (status, answer["detail"]["code"]) == (410, "GONE")
        assert "/v1/things" in answer["detail"]["message"]
        assert "successor-version" in response.headers["Link"]
        assert (await served.call(path="/v1/things"))[0] == 200


async def test_replies_choose_their_status_headers_and_form(database: FreshDatabase) -> None:
    async def created(_call: Any) -> object:
        return Response(data={"id": 1}, status=201, headers={"Location": "/v1/things/1"})

    async def nothing(_call: Any) -> object:
        return Response(status=204)

    async def file(_call: Any) -> object:
        return File(data=b"\x00\x01", mime="audio/mpeg")

    routes = (
        public(created, name="a", path="/v1/created"),
        public(nothing, name="b", path="/v1/nothing"),
        public(file, name="c", path="/v1/file"),
    )
    async with serving(database.app, *routes) as served:
        status, answer, response = await served.call(path="/v1/created")
        assert (status, answer["data"], response.headers["Location"]) == (201, {"id": 1}, "/v1/things/1")
        status, answer, response = await served.call(path="/v1/nothing")
        assert (status, answer) == (204, "")
        status, _, response = await served.call(path="/v1/file")
        assert (status, response.headers["Content-Type"]) == (200, "audio/mpeg")
        assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "request_bytes",
    [b"GARBAGE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /v1/ok HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n",
     b"POST /v1/post HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     b"GET /v1/ok HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 100_000 + b"\r\n\r\n"],
)  # fmt: skip
async def test_malformed_http_is_refused_and_the_server_lives_on(
    database: FreshDatabase, request_bytes: bytes
) -> None:
    async with serving(database.app, *EVERY) as served:
        answer = await served.raw(request_bytes, 1)
        assert answer[9:10] in (b"4", b""), answer
        assert (await served.call(path="/v1/ok"))[0] == 200
