"""``ragwork data stores|list|export``: what is stored, for an operator; each look at a tenant's data is recorded."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, get_args

import attrs
from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.auth import Directory
from ragwork_hooks.authz import Everything
from ragwork_hooks.commands import Option
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.governance import DataPage, DataStore, SortOrder, Subject, SubjectKind
from ragwork_hooks.storage import Transaction
from ragwork_kernel.base import json_codec
from ragwork_kernel.boot import plugin_set as assemblies

from ragwork_cli.console import TerminalConsole
from ragwork_cli.operator_records import OperatorRecords, operator

if TYPE_CHECKING:
    from ragwork_kernel.boot.boot import Platform

Options = dict[str, Any]
LISTED, EXPORTED = "data.listed", "data.exported"
#: An operator of the platform sees everything of the tenant that is named.
OPERATORS_SCOPE: Final = Everything()
KINDS: Final[tuple[SubjectKind, ...]] = get_args(SubjectKind)
_STORE: Final = Option(name="store", help="see `ragwork data stores`", positional=True, required=True)
_TENANT: Final = Option(name="tenant", help="whose data", required=True, type="tenant")
LIST_OPTIONS: Final = (
    _STORE,
    _TENANT,
    Option(name="filter", help="only rows with that value, as COLUMN=VALUE; repeat it", repeated=True),
    Option(name="sort", help="a column; -COLUMN for the largest or latest first"),
    Option(name="limit", help="how many rows at most", default="50", type="integer", minimum=1, maximum=1000),
    Option(name="cursor", help="go on where a list ended"),
)
EXPORT_OPTIONS: Final = (
    _STORE,
    _TENANT,
    Option(
        name="subject",
        help=f"whose rows, as KIND:ID; KIND is {', '.join(KINDS)}, a session's ID is USER/SESSION",
        required=True,
    ),
    Option(
        name="output", help="a file; an existing one is left alone. Standard output without it", type="path"
    ),
)


async def stores(_options: Options, data_dir: Path, console: TerminalConsole) -> int:
    """Every store with its columns."""
    async with _booted(data_dir) as platform:
        known = platform.plan.data_stores
    rows = [
        {"name": s.name, "about": s.about, "columns": [attrs.asdict(column) for column in s.columns]}
        for s in known
    ]
    console.result(rows, "\n".join(map(_described, known)) or "no enabled plugin has a data store")
    return 0


async def list_rows(options: Options, data_dir: Path, console: TerminalConsole) -> int:
    """A page of a tenant's rows and, on the first one, how many have which value."""
    filter = dict(_pair(text) for text in options["filter"])
    async with _booted(data_dir) as platform:
        store = _store(platform, options["store"])
        record = OperatorRecords(log=platform.log, event=LISTED, actor=operator(os.getuid()))
        async with _tenant(platform, options["tenant"]) as tx:
            page = await store.page(
                tx,
                OPERATORS_SCOPE,
                filter=filter,
                sort=_order(store, options["sort"]),
                cursor=options["cursor"],
                limit=options["limit"],
            )
            facets: Mapping[str, Mapping[str, int]] = {}
            if options["cursor"] is None:
                facets = await store.facets(tx, OPERATORS_SCOPE, filter)
            await record(tx, _note(store, {"filtered_by": sorted(filter), "rows": len(page.rows)}))
    _show(console, store, page, facets)
    return 0


async def export(options: Options, data_dir: Path, console: TerminalConsole) -> int:
    """All that a store has of a subject, one JSON object a line."""
    subject, count = _subject(options["subject"]), 0
    async with _booted(data_dir) as platform:
        store = _store(platform, options["store"])
        record = OperatorRecords(log=platform.log, event=EXPORTED, actor=operator(os.getuid()))
        with await asyncio.to_thread(_opened, options["output"]) as file:
            # Committed before a row leaves: an export that is broken off was one, too.
            async with _tenant(platform, options["tenant"]) as tx:
                await record(tx, _note(store, {"subject_type": subject.kind, "subject_id": subject.id}))
            async with (
                platform.parts.db.tenant(options["tenant"], "read") as tx,
                console.progress(0, f"export {store.name}", "row") as advance,
            ):
                async for row in store.export(tx, subject):
                    await asyncio.to_thread(file.write, json_codec.dumps(row) + b"\n")
                    count += 1
                    advance(1)
            file.flush()
    if options["output"]:
        console.result({"file": options["output"], "rows": count}, f"{options['output']}: {count} rows")
    return 0


@asynccontextmanager
async def _booted(data_dir: Path) -> AsyncIterator["Platform"]:
    from ragwork_kernel.boot.boot import boot  # a whole kernel: other commands don't wait for it

    async with boot(assemblies.read(), data_dir) as platform:
        yield platform


@asynccontextmanager
async def _tenant(platform: "Platform", tenant_id: str) -> AsyncIterator[Transaction]:
    """A transaction of the tenant. Raises ``Problem`` 404 when there is none: no rows would be no answer."""
    directory: Directory | None = platform.capability(Directory)
    async with platform.parts.db.tenant(tenant_id) as tx:
        if directory is not None:
            await directory.require_tenant(tx)
        yield tx


def _store(platform: "Platform", name: str) -> DataStore:
    known = {store.name: store for store in platform.plan.data_stores}
    if name not in known:
        names = ", ".join(sorted(known)) or "none; enable a plugin that has one"
        raise ConfigError(f"store {name!r}", "there is no such data store", f"take one of: {names}")
    return known[name]


def _order(store: DataStore, text: str | None) -> SortOrder:
    if text is None:
        return store.order
    return SortOrder(column=text.removeprefix("-"), descending=text.startswith("-"))


def _pair(text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not equals:
        raise ConfigError("--filter", f"{text!r} is no COLUMN=VALUE", "write it like status=failed")
    return column, value


def _subject(text: str) -> Subject:
    name, _, identifier = text.partition(":")
    kind = next((known for known in KINDS if known == name), None)
    if kind is None or not identifier:
        kinds = ", ".join(KINDS)
        raise ConfigError(
            "--subject", f"{text!r} is no KIND:ID", f"write it like user:ann; kinds are {kinds}"
        )
    return Subject(kind=kind, id=identifier)


def _note(store: DataStore, metadata: Mapping[str, object]) -> AuditDetails:
    return AuditDetails(resource_type="data_store", resource_id=store.name, metadata=metadata)


def _described(store: DataStore) -> str:
    width = max(len(column.name) for column in store.columns)
    lines = [f"  {c.name.ljust(width)}  {c.type.ljust(7)}  {c.about}" for c in store.columns]
    return "\n".join((f"{store.name}: {store.about}", *lines))


def _show(
    console: TerminalConsole, store: DataStore, page: DataPage, facets: Mapping[str, Mapping[str, int]]
) -> None:
    if console.json:
        console.result({"rows": page.rows, "next_cursor": page.next_cursor, "facets": facets}, "")
        return
    console.table(page.rows, [column.name for column in store.columns], f"no {store.name}")
    for name, counts in facets.items():
        if counts:
            console.say(f"{name}: {', '.join(f'{value} {count}' for value, count in counts.items())}")
    if page.next_cursor is not None:
        console.say(f"more with --cursor {page.next_cursor}")


def _opened(place: str | None) -> AbstractContextManager[BinaryIO]:
    if place is None:
        return nullcontext(sys.stdout.buffer)
    try:
        return os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except OSError as error:
        raise ConfigError("--output", str(error), "name a new file in a folder that exists") from None
