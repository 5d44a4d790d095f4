"""An export is verified by its public key alone, and nothing can be changed, added, left out or exchanged in it."""

import random
from pathlib import Path
from typing import Any

import pytest
from ragwork_audit.checking import log_export
from ragwork_audit.checking.verification import Report
from ragwork_audit.commands import verify_export
from ragwork_audit.sealing.signed_notes import InvalidNote, NoteVerifier, Signer
from ragwork_hooks.commands import OfflineCommandContext
from ragwork_hooks.errors import ConfigError
from ragwork_testkit.platform import QuietConsole


async def exported(process: Any, tenant: str, place: Path) -> Path:
    async with process.services.db.tenant(tenant, "read") as tx:
        lines = [line async for line, _ in log_export.lines(tx)]
    return written(place, lines)


def written(place: Path, lines: list[bytes]) -> Path:
    place.write_bytes(b"".join(line + b"\n" for line in lines))
    return place


async def filled(process: Any) -> None:
    for count in (4, 3, 5):
        await process.write("t1", count, metadata={"n": count, "x": "é\u2028"})
        await process.write("t2", 1)
        await process.seal()


def check(process: Any, place: Path, anchors: list[str] | None = None) -> Report:
    return log_export.verify_file(place, NoteVerifier([process.service.signer.verifier_key]), anchors or [])


async def test_an_export_verifies_and_holds_exactly_one_tenant(here: Any, tmp_path: Path) -> None:
    await filled(here)
    place = await exported(here, "t1", tmp_path / "t1.jsonl")
    report = check(here, place, list(here.service.anchors.notes("t1")))
    assert (report.valid, report.checked, report.tenant_id, report.anchors) == (True, 12, "t1", 3)
    assert b'"t2"' not in place.read_bytes()
    empty = check(here, await exported(here, "nobody", tmp_path / "empty.jsonl"))
    assert (empty.valid, empty.checked) == (True, 0)


async def test_every_changed_byte_and_line_is_detected(here: Any, tmp_path: Path) -> None:
    await filled(here)
    whole = (await exported(here, "t1", tmp_path / "whole.jsonl")).read_bytes()
    other = (await exported(here, "t2", tmp_path / "other.jsonl")).read_bytes().splitlines(keepends=True)
    chance, place = random.Random(3), tmp_path / "changed.jsonl"
    lines = whole.splitlines(keepends=True)
    records = [n for n, line in enumerate(lines) if b'"voucher"' in line]
    changed = [
        whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in chance.sample(range(len(whole)), 300)
    ]
    for n in records:
        changed.append(b"".join(lines[:n] + lines[n + 1 :]))
        changed.append(b"".join([*lines[: n + 1], lines[n], *lines[n + 1 :]]))
        changed.append(
            b"".join([*lines[:n], lines[records[0] if n != records[0] else records[1]], *lines[n + 1 :]])
        )
        changed.append(b"".join([*lines[:n], other[1], *lines[n + 1 :]]))
    changed += [b"".join(lines[:n]) for n in range(len(lines) - 1) if n <= records[-1]]
    for content in changed:
        place.write_bytes(content)
        assert not check(here, place).valid, content[:200]


async def test_the_first_bad_record_is_named_to_its_checkpoint(here: Any, tmp_path: Path) -> None:
    await filled(here)
    place = await exported(here, "t1", tmp_path / "t1.jsonl")
    ids = [
        r["event_id"]
        for r in await here.look("SELECT event_id FROM audit.seals WHERE tenant_id = 't1' ORDER BY seq")
    ]
    lines = place.read_bytes().splitlines(keepends=True)
    at = next(n for n, line in enumerate(lines) if f'"id":"{ids[5]}"'.encode() in line)
    lines[at] = lines[at].replace(b'"actor_id":"k1"', b'"actor_id":"k2"')
    place.write_bytes(b"".join(lines))
    broken = check(here, place).broken
    assert broken is not None
    assert broken.event_id == ids[4]  # the first of the batch that holds it


async def test_an_older_export_is_exposed_by_the_anchors(here: Any, tmp_path: Path) -> None:
    await filled(here)
    old = await exported(here, "t1", tmp_path / "old.jsonl")
    await here.write("t1", 2)
    await here.seal()
    assert check(here, old).valid
    report = check(here, old, list(here.service.anchors.notes("t1")))
    assert report.broken is not None
    assert report.broken.seq == 12


async def test_a_pruned_log_exports_with_its_cut(here: Any, tmp_path: Path) -> None:
    write = "ALTER TABLE audit.events ALTER COLUMN occurred_at SET DEFAULT clock_timestamp() - interval '{0} days'"
    await here.superuser(write.format(100))
    await here.write("t1", 5)
    await here.superuser(write.format(0))
    await here.write("t1", 3)
    await here.seal()
    await here.service.pruning.run()
    place = await exported(here, "t1", tmp_path / "t1.jsonl")
    report = check(here, place, list(here.service.anchors.notes("t1")))
    assert (report.valid, report.checked, report.pruned) == (True, 3, 5)
    place.write_bytes(place.read_bytes().replace(b'"size":5', b'"size":6'))
    assert not check(here, place).valid


async def test_a_wrong_or_broken_key_is_told(here: Any, tmp_path: Path) -> None:
    await filled(here)
    place = await exported(here, "t1", tmp_path / "t1.jsonl")
    report = log_export.verify_file(place, NoteVerifier([Signer(b"o" * 32).verifier_key]), [])
    assert report.broken is not None
    assert "unknown key" in report.broken.reason
    for key in ("", "x", "ragwork-audit+zz+zz", here.service.signer.verifier_key[:-4] + "AAA="):
        (tmp_path / "key").write_text(key)
        with pytest.raises(InvalidNote):
            log_export.read_keys(tmp_path / "key")


async def test_the_tool_needs_files_only(here: Any, tmp_path: Path) -> None:
    await filled(here)
    place = await exported(here, "t1", tmp_path / "t1.jsonl")
    (tmp_path / "key").write_text(here.service.signer.verifier_key + "\n")

    async def tool(**options: str) -> tuple[int, Any]:
        console = QuietConsole()
        given = {"file": str(place), "public-key": str(tmp_path / "key"), "anchors": None} | options
        return await verify_export(OfflineCommandContext(console=console, options=given)), console.results[-1]

    status, found = await tool(anchors=str(tmp_path / "audit" / "t1"))
    assert (status, found["valid"], found["checked"], found["first_bad"]) == (0, True, 12, None)
    place.write_bytes(place.read_bytes().replace(b'"actor_id":"k1"', b'"actor_id":"k2"', 1))
    status, found = await tool()
    assert (status, found["valid"]) == (1, False)
    assert isinstance(found["first_bad"], int)
    with pytest.raises(ConfigError, match="verify-export"):
        await tool(file=str(tmp_path / "missing"))
