"""``ragwork audit …``: verify, export, the public key, and verification of an export without a platform."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

from ragwork_hooks.commands import Command, CommandContext, OfflineCommand, OfflineCommandContext, Option
from ragwork_hooks.errors import ConfigError

from ragwork_audit.checking import log_export
from ragwork_audit.checking.verification import Report, VerificationFailed, summary
from ragwork_audit.sealing.anchors import DamagedAnchors, read_notes
from ragwork_audit.sealing.signed_notes import InvalidNote
from ragwork_audit.service import AuditService

_BAD: Final = 1


def commands() -> Sequence[Command | OfflineCommand]:
    """Every command of the plugin."""
    return (
        Command(
            path=("audit", "verify"),
            help="Verify the audit log against its seals, signed checkpoints and anchors",
            options=(Option(name="tenant", help="only this tenant; by default every one", type="tenant"),),
            run=verify,
            audit_event=None,
        ),
        Command(
            path=("audit", "export"),
            help="Write a tenant's sealed audit log to a file that can be verified anywhere",
            options=(
                Option(name="tenant", help="whose log", required=True, type="tenant"),
                Option(
                    name="out", help="the file; an existing one is left alone", required=True, type="path"
                ),
            ),
            run=export,
            audit_event=None,
        ),
        Command(
            path=("audit", "public-key"),
            help="Print the public key that verifies checkpoints and exports",
            options=(),
            run=public_key,
            audit_event=None,
        ),
        OfflineCommand(
            path=("audit", "verify-export"),
            help="Verify an exported audit log with the public key alone",
            options=(
                Option(name="file", help="the export", required=True, positional=True, type="path"),
                Option(
                    name="public-key", help="a file of verifier keys, one a line", required=True, type="path"
                ),
                Option(name="anchors", help="the tenant's anchor folder or one of its files", type="path"),
            ),
            run=verify_export,
        ),
    )


async def verify(context: CommandContext) -> int:
    """Every tenant's log, or one; status 1 when something is wrong."""
    service = context.services.use(AuditService)
    named = context.options["tenant"]
    tenants = await service.tenants() if named is None else [await _known(service, str(named))]
    async with context.console.progress(len(tenants), "verifying", "tenants") as advance:
        reports = []
        for tenant_id in tenants:
            reports += await service.verify([tenant_id])
            advance(1)
    return _say(context, reports)


async def export(context: CommandContext) -> int:
    """One tenant's sealed records."""
    place = context.text("out")
    tenant_id = await _known(context.services.use(AuditService), context.text("tenant"))
    count = 0
    with await asyncio.to_thread(_create, place) as file:
        async with context.services.db.tenant(tenant_id, "read") as tx:
            async for line, records in log_export.lines(tx):
                await asyncio.to_thread(file.write, line + b"\n")
                count += records
    context.console.result(
        {"tenant_id": tenant_id, "file": place, "records": count},
        f"{place}: {count} records. Verify it with `ragwork audit verify-export`.",
    )
    return 0


async def _known(service: AuditService, tenant_id: str) -> str:
    """``tenant_id``, once it is sure that there is a log of it: a mistyped name must not read as an empty log."""
    if tenant_id not in await service.tenants():
        raise ConfigError("--tenant", f"there is no audit record of tenant {tenant_id!r}", "check the name")
    return tenant_id


async def public_key(context: CommandContext) -> int:
    """The verifier key."""
    key = await asyncio.to_thread(lambda: context.services.use(AuditService).signer.verifier_key)
    context.console.result({"public_key": key}, key)
    return 0


async def verify_export(context: OfflineCommandContext) -> int:
    """Nothing but files is read."""
    return _say(context, [await asyncio.to_thread(_verify_file, context)])


def _verify_file(context: OfflineCommandContext) -> Report:
    where = {name: context.options[name] for name in ("file", "public-key", "anchors")}
    try:
        verifier = log_export.read_keys(Path(str(where["public-key"])))
        anchors = _anchors(Path(where["anchors"])) if isinstance(where["anchors"], str) else []
        return log_export.verify_file(Path(str(where["file"])), verifier, anchors)
    except DamagedAnchors as error:
        broken = VerificationFailed(reason=f"an anchor file is damaged: {error}")
        return Report(tenant_id="", checked=0, unsealed=0, pruned=0, anchors=0, broken=broken)
    except InvalidNote as error:
        raise ConfigError("--public-key", str(error), "give what `ragwork audit public-key` prints") from None
    except OSError as error:
        raise ConfigError("audit verify-export", str(error), "name files that can be read") from None


def _anchors(place: Path) -> list[str]:
    files = sorted(place.glob("*.notes")) if place.is_dir() else [place]
    notes = [note for file in files for note in read_notes(file)]
    if not notes:
        raise ConfigError("--anchors", f"{place} holds no anchor", "name the tenant's own anchor folder")
    return notes


def _create(place: str) -> BinaryIO:
    try:
        return os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except OSError as error:
        raise ConfigError("--out", str(error), "name a new file in a folder that exists") from None


def _say(context: CommandContext | OfflineCommandContext, reports: Sequence[Report]) -> int:
    found = summary(reports)
    lines = [f"{report.tenant_id}: {_verdict(report)}" for report in reports] or [
        "there is no audit record yet"
    ]
    context.console.result(found, "\n".join(lines))
    return 0 if found["valid"] else _BAD


def _verdict(report: Report) -> str:
    counts = f"{report.checked} records, {report.unsealed} unsealed, {report.pruned} pruned, {report.anchors} anchors"
    if report.broken is None:
        blind = "" if report.anchors or not report.checked else "; without anchors a cut end can't be seen"
        return f"valid ({counts}){blind}"
    where = report.broken.event_id if report.broken.event_id is not None else f"place {report.broken.seq}"
    return f"NOT VALID at {where}: {report.broken.reason} ({counts})"
