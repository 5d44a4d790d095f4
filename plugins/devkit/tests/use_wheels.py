"""Uses plugins that are installed as wheels: ``python use_wheels.py FOLDER KIND=NAME…`` prints what it saw as JSON.

Runs in an interpreter of its own, so that nothing of the test's environment stands in for the wheels.
"""

import asyncio
import importlib
import json
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ragwork_hooks.parsing import DocumentParsing
from ragwork_hooks.provider_kinds import ASR, TTS
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import DEFAULT_PLUGINS, Running, running

TEXT = "The pump is serviced every three weeks. It runs at 100 bar."


def settings(folder: Path, names: Mapping[str, str]) -> dict[str, str]:
    """What binds each of the plugins."""
    chosen = {
        "LLM_PROVIDER": names.get("llm", "fake"),
        "EMBEDDING_PROVIDER": names.get("embedding", "wordllama"),
        "TTS_PROVIDER": names.get("tts", "fake"),
    }
    if "gate" in names:
        chosen[f"{names['gate'].upper()}_ACTIONS"] = "document.delete"
    if "sink" in names:
        chosen[f"{names['sink'].upper()}_FILE"] = str(folder / "events.jsonl")
    return chosen


async def see(app: Running, folder: Path, names: Mapping[str, str]) -> dict[str, Any]:
    """One document in, one question asked, and whatever else the plugins are for."""
    # One user, so that only the role of the key differs.
    admin, editor = await app.key(role="admin", user="ann"), await app.key(role="editor", user="ann")
    retriever = names.get("retrieval", "local_pgvector")
    made = await app.call("POST", "/v1/corpora", editor, json={
        "id": "pumps", "name": "Pumps",
        "provider_config_json": {"retrieval": {"provider": retriever, "reranker": names.get("reranker")}},
    })  # fmt: skip
    assert made.status == 201, made.text
    sent = await app.call("POST", "/v1/documents/text", editor, json={
        "corpus_id": "pumps", "document_id": "d1", "text": TEXT, "filename": "pump.txt",
    })  # fmt: skip
    assert sent.status == 202, sent.text
    for _ in range(500):
        document = await app.call("GET", "/v1/documents/d1", editor)
        if document.data["status"] in ("succeeded", "failed"):
            break
        await asyncio.sleep(0.02)
    query = {"corpus_id": "pumps", "query": "When is the pump serviced?"}
    found = (await app.call("POST", "/v1/retrieve", editor, json=query)).data
    ask = {"session_id": "s", "corpus_id": "pumps", "message": "When is the pump serviced?", "audio": True}
    events = await app.events("/v1/run", editor, ask)
    seen: dict[str, Any] = {
        "status": document.data["status"],
        "reranked": (found["passages"][0]["rerank"], found["not_reranked"]),
        "types": [event.type for event in events],
        "answer": "".join(event.data["delta"] for event in events if event.type == "token.delta"),
    }
    if "asr" in names and "tts" in names:
        providers = app.platform.parts.providers
        voice, ears = await providers.open(TTS, names["tts"]), await providers.open(ASR, names["asr"])
        seen["heard"] = await ears.recognize(await voice.synthesize("hello 42"))
    if "parser" in names:
        parsing = app.platform.facades["parsing"].use(DocumentParsing)
        subtitles = b"1\n00:00:01,000 --> 00:00:02,000\nThe pump runs.\n"
        parsed = await parsing.parse("t1", subtitles, "pump.srt", "application/octet-stream")
        seen["parsed"] = [block.text for block in parsed.blocks]
    if "connector" in names:
        seen["synced"] = await synced(app, folder, names["connector"])
    if "route" in names:
        path = f"/v1/{names['route']}/notes"
        seen["written"] = (await app.call("POST", path, editor, json={"text": "note"})).status
        seen["notes"] = [note["text"] for note in (await app.call("GET", path, editor)).data]
    seen["deleted"] = {
        role: (await app.call("DELETE", "/v1/documents/d1", key)).status
        for role, key in (("editor", editor), ("admin", admin))
    }
    if "sink" in names:
        seen["lines"] = await lines(folder / "events.jsonl")
    seen["inactive"] = dict(app.platform.inactive)
    return seen


async def synced(app: Running, folder: Path, connector: str) -> Any:
    """What became of an archive with one file."""
    with zipfile.ZipFile(folder / "pumps.zip", "w") as archive:
        archive.writestr("pump.md", TEXT)
    option = f"path={folder / 'pumps.zip'}"
    await app.command(
        "sources", "add", name="pumps", tenant="t1", corpus="more", connector=connector, option=option
    )
    return (await app.command("sources", "sync", name="pumps")).results[-1]["new"]


async def lines(file: Path) -> list[Any]:
    """The events that were kept, once both changes of the index are there."""
    found: list[Any] = []
    for _ in range(500):
        found = [json.loads(line) for line in await asyncio.to_thread(_read, file)]
        if len(found) >= 2:
            break
        await asyncio.sleep(0.02)
    return [(event["type"], event["key"]) for event in found]


def _read(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


async def main(arguments: Sequence[str]) -> None:
    folder, names = Path(arguments[0]), dict(argument.split("=") for argument in arguments[1:])
    postgres = await PostgresServer.start(folder / "postgres")
    try:
        needed = {"parser": ("parsing",), "connector": ("parsing", "connectors")}
        beside = {plugin: None for kind in names for plugin in needed.get(kind, ())}
        plugins = (*DEFAULT_PLUGINS, *beside, *names.values())
        async with running(postgres, plugins, settings(folder, names)) as app:
            seen = await see(app, folder, names)
    finally:
        await postgres.server.stop()
    seen["places"] = {
        kind: importlib.import_module(f"ragwork_{name}").__file__ for kind, name in names.items()
    }
    print(json.dumps(seen))  # noqa: T201  # the answer to the test that started this


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
