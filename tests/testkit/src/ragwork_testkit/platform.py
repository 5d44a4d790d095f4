"""A booted platform under test: real database, real HTTP, chosen plugins, and a client that reads answers."""

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import attrs
from ragwork_cli import plugin_commands
from ragwork_cli.command_options import value_of
from ragwork_hooks.commands import Command, Option, OptionValue
from ragwork_kernel.boot import plugin_set as assemblies
from ragwork_kernel.boot.boot import Platform, boot
from ragwork_kernel.boot.server import listening

from ragwork_testkit.database import PostgresServer

DEFAULT_PLUGINS = (
    "apidocs",
    "directory",
    "apikeys",
    "rbac",
    "wordllama",
    "pgvector",
    "documents",
    "extractive",
    "fake",
    "agent",
)


#: What stands at the door, with limits that tests don't reach.
DOOR_PLUGINS = (
    "audit",
    "idempotency",
    "plans",
    "rollouts",
    "ratelimit",
    "quota",
    "billing",
    "abac",
    "selfserve",
    "ops",
    "evals",
)
#: Who is calling, in every form.
IDENTITY_PLUGINS = ("sso", "scim", "rego", "agents")
#: All of them: what a test of every route runs.
ALL_PLUGINS = (*DEFAULT_PLUGINS, *DOOR_PLUGINS, *IDENTITY_PLUGINS)
DOOR_SETTINGS = {"RATE_LIMIT_ENABLED": "false", "PLAN_DEFAULT": "enterprise"}


@attrs.frozen(kw_only=True)
class Answer:
    """An HTTP answer, its body decoded when it is JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any
    text: str

    @property
    def data(self) -> Any:
        return self.body["data"]

    @property
    def code(self) -> str:
        return str(self.body["error"]["code"])


@attrs.frozen(kw_only=True)
class ReceivedEvent:
    """One server-sent event: its fields as sent, and the decoded payload."""

    event: str
    id: str
    payload: Any

    @property
    def type(self) -> str:
        return str(self.payload.get("type", self.event))

    @property
    def data(self) -> Any:
        return self.payload.get("data", {})


class QuietConsole:
    """Collects what a command says."""

    json = True

    def __init__(self) -> None:
        self.said: list[str] = []
        self.results: list[Any] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def write(self, piece: str) -> None:
        self.said.append(piece)

    def result(self, data: object, text: str) -> None:
        self.results.append(data)
        self.said.append(text)

    def table(self, rows: Sequence[Mapping[str, object]], columns: Sequence[str], empty: str) -> None:
        self.results.append(rows)
        self.said.append(empty if not rows else " ".join(columns))

    @contextlib.asynccontextmanager
    async def progress(self, total: int, label: str, unit: str) -> AsyncIterator[Callable[[int], None]]:
        yield lambda more: None


@attrs.frozen(kw_only=True)
class Running:
    """A platform that listens, and the ways to use it."""

    platform: Platform
    base: str
    session: aiohttp.ClientSession
    database_url: str

    async def command(self, *path: str, **options: str | bool | None) -> QuietConsole:
        """Run a plugin's command in process; underscores in option names stand for dashes."""
        command = next((c for c in self.commands() if c.path == path), None)
        if command is None:
            raise LookupError(f"no enabled plugin has the command {' '.join(path)}")
        console = QuietConsole()
        status = await self.run(command, option_values(command, options), console)
        if status:
            raise RuntimeError(f"{' '.join(path)} ended with {status}: {console.said}")
        return console

    def commands(self) -> Iterator[Command]:
        """Every command of the enabled plugins."""
        for _, command in plugin_commands.of(self.platform.assembly):
            if isinstance(command, Command):
                yield command

    async def run(
        self, command: Command, options: Mapping[str, OptionValue], console: QuietConsole | None = None
    ) -> int:
        """Run ``command`` and give its status; the server under test works the queue."""
        found = plugin_commands.find(self.platform.assembly, command.path)
        assert found is not None  # it came from ``commands``
        return await plugin_commands.run(
            self.platform, *found, options, console or QuietConsole(), contextlib.nullcontext
        )

    async def key(
        self, tenant: str = "t1", role: str = "admin", user: str | None = None, *, platform: bool = False
    ) -> str:
        """A new API key's text."""
        console = await self.command(
            "keys", "create", tenant=tenant, role=role, name="test", user=user, platform=platform
        )
        return str(console.results[-1]["key"])

    async def call(
        self,
        method: str,
        path: str,
        key: str | None = None,
        *,
        json: Any = None,
        data: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request."""
        sent = self._headers(key, headers)
        async with self.session.request(
            method, self.base + path, json=json, data=data, params=params, headers=sent, allow_redirects=False
        ) as response:
            text = await response.text(errors="replace")
            return Answer(
                status=response.status, headers=response.headers, body=_decoded(response, text), text=text
            )

    async def ingested(self, key: str, document_id: str, within_s: float = 15.0) -> None:
        """Wait until a document can be found."""
        until = time.monotonic() + within_s
        while True:
            answer = await self.call("GET", f"/v1/documents/{document_id}", key)
            if answer.status == 200 and answer.data["status"] == "succeeded":
                return
            if time.monotonic() > until:
                raise AssertionError(f"{document_id} is not ingested after {within_s} s: {answer.text}")
            await asyncio.sleep(0.05)

    async def events(
        self, path: str, key: str | None, json: Any, headers: Mapping[str, str] | None = None
    ) -> list[ReceivedEvent]:
        """All events of one stream."""
        return [event async for event in self.stream(path, key, json, headers)]

    async def stream(
        self, path: str, key: str | None, json: Any, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[ReceivedEvent]:
        """Events as they arrive; the connection closes when the iteration is left."""
        async with self.session.post(
            self.base + path, json=json, headers=self._headers(key, headers)
        ) as response:
            async for event in _parse(response):
                yield event

    @staticmethod
    def _headers(key: str | None, more: Mapping[str, str] | None) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return {**headers, **(more or {})}


def option_values(command: Command, typed: Mapping[str, str | bool | None]) -> dict[str, OptionValue]:
    """What the command line makes of ``typed``; underscores in its names stand for dashes. Raises ``ValueError``."""
    return {o.name: _option_value(o, typed.get(o.name.replace("-", "_"))) for o in command.options}


def _option_value(option: Option, typed: str | bool | None) -> OptionValue:
    """What the command line makes of ``typed``."""
    if option.flag:
        return bool(typed)
    if option.repeated:
        return () if typed is None else (str(value_of(option, str(typed))),)
    text = option.default if typed is None else typed
    return value_of(option, text) if isinstance(text, str) else None


@contextlib.asynccontextmanager
async def running(
    postgres: PostgresServer,
    plugins: Sequence[str] = DEFAULT_PLUGINS,
    settings: Mapping[str, str] | None = None,
    database_url: str | None = None,
    tables: str = "",
) -> AsyncIterator[Running]:
    """A platform with ``plugins`` over a fresh database (or ``database_url``, to run a second process' worth).
    ``tables`` are further ones of ``ragwork.toml``.
    """
    environ = {
        "RAGWORK_PROFILE": "test",
        "EMBEDDING_PROVIDER": "wordllama",
        "LLM_PROVIDER": "fake",
        **(settings or {}),
    }
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "ragwork.toml").write_text(f"[kernel]\nplugins = {json.dumps(list(plugins))}\n{tables}")
        if database_url is None:
            sources = assemblies.read(folder, environ).sources()
            database_url = (await stack.enter_async_context(postgres.database(sources))).admin
        assembly = assemblies.read(folder, {**environ, "DATABASE_URL": database_url})
        platform = await stack.enter_async_context(boot(assembly, folder))
        port = await stack.enter_async_context(listening(platform, "127.0.0.1", 0))
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        )
        yield Running(
            platform=platform,
            base=f"http://127.0.0.1:{port}",
            session=session,
            database_url=database_url,
        )


async def _parse(response: aiohttp.ClientResponse) -> AsyncIterator[ReceivedEvent]:
    fields: dict[str, str] = {}
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield ReceivedEvent(event=fields["event"], id=fields["id"], payload=json.loads(fields["data"]))
            fields = {}


def _decoded(response: aiohttp.ClientResponse, text: str) -> Any:
    if response.content_type.endswith("json") and text:
        return json.loads(text)
    return None
