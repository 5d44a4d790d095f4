"""``POST /v1/run`` and its sessions over real HTTP, on a whole platform with the default plugins."""

import asyncio
from collections import Counter
from typing import Any

from ragwork_hooks.auth import Directory

QUESTION = "Which release gates does Agent 2.0 have?"


def ask(**changes: Any) -> dict[str, Any]:
    return {"session_id": "s1", "corpus_id": "c1", "message": QUESTION, **changes}


def check_grammar(events: list[Any], session_id: str = "s1") -> list[str]:
    """Numbered from 1 without a gap, the id equal to seq, one ``done`` and that last; the types in order."""
    assert [e.payload["seq"] for e in events] == list(range(1, len(events) + 1))
    assert [e.id for e in events] == [str(e.payload["seq"]) for e in events]
    content = [e for e in events if e.event != "heartbeat"]
    assert all(e.event == "message" and e.payload["session_id"] == session_id for e in content)
    types = [e.type for e in content]
    assert types[-1] == "done"
    assert types.count("done") == 1
    return types


async def test_a_stream_follows_the_contract_and_cites_what_it_quotes(platform: Any) -> None:
    settings = {"LLM_PROVIDER": "extractive", "DEBUG_EVENTS": "true", "TTS_PROVIDER": "fake"}
    async with platform(settings=settings) as app:
        await app.command("seed", tenant="t1")
        key = await app.key(role="reader")
        events = await app.events(
            "/v1/run", key, ask(audio=True, top_k=50), headers={"X-Request-Id": "client-chosen-1"}
        )
        types = check_grammar(events)
        assert types[:2] == ["request.accepted", "debug.retrieval"]
        assert types[-3:] == ["message.final", "audio.ready", "done"]
        assert set(types[2:-3]) == {"token.delta"}
        assert {e.payload["request_id"] for e in events} == {"client-chosen-1"}
        final = events[-3].data
        assert final["text"] == "".join(e.data["delta"] for e in events if e.type == "token.delta")
        citations = final["citations"]
        assert citations
        assert [c["n"] for c in citations] == list(range(1, len(citations) + 1))
        assert all(f"[{c['n']}]" in final["text"] for c in citations)
        found = await app.call(
            "POST", "/v1/retrieve", key, json={"corpus_id": "c1", "query": QUESTION, "top_k": 50}
        )
        texts = {p["chunk_id"]: p["text"] for p in found.data["passages"]}
        for citation in citations:
            assert citation["quote"] in texts[citation["chunk_id"]]
            assert citation["end"] - citation["start"] == len(citation["quote"])
        audio_id = events[-2].data["audio_id"]
        assert events[-2].data["audio_url"] == f"{app.base}/v1/audio/{audio_id}.mp3"
        for prefix in ("/v1", ""):
            sound = await app.call("GET", f"{prefix}/audio/{audio_id}.mp3")
            assert (sound.status, sound.headers["Content-Type"]) == (200, "audio/mpeg")
        forged = await app.call("GET", f"/v1/audio/{audio_id[:-3]}AAA.mp3")
        assert (forged.status, forged.code) == (404, "NOT_FOUND")


async def test_refusals_in_the_stream_and_in_json(platform: Any) -> None:
    async with platform() as app:
        await app.command("seed", tenant="t1")
        key = await app.key(role="reader")
        json = {"Accept": "application/json"}

        events = await app.events("/v1/run", key, ask(corpus_id="nowhere"))
        assert check_grammar(events) == ["request.accepted", "error", "done"]
        assert events[1].data["code"] == "RETRIEVAL_CONFIG_INVALID"
        missing = await app.call("POST", "/v1/run", key, json=ask(corpus_id="nowhere"), headers=json)
        assert (missing.status, missing.code) == (404, "NOT_FOUND")
        foreign = await app.key(tenant="t2", role="admin")
        other = await app.call("POST", "/v1/run", foreign, json=ask(), headers=json)
        assert (other.status, other.code) == (404, "NOT_FOUND")

        resumed = await app.events("/v1/run", key, ask(), headers={"Last-Event-ID": "x" * 5_000})
        assert check_grammar(resumed) == ["resume.unsupported", "done"]
        sessions = await app.call("GET", "/v1/sessions", key)
        assert sessions.data == []

        for bad in (
            ask(top_k=0), ask(top_k=51), ask(top_k="5"), ask(message=""), ask(message="x" * 32_001),
            ask(extra=1), ask(session_id="../s"), ask(audio="yes"), {"session_id": "s1"},
        ):  # fmt: skip
            refused = await app.call("POST", "/v1/run", key, json=bad)
            assert (refused.status, refused.code) == (422, "REQUEST_VALIDATION_ERROR"), bad
        tenant = await app.call("POST", "/v1/run", key, json=ask(tenant_id="t1"))
        assert (tenant.status, tenant.code) == (400, "TENANT_ID_NOT_ALLOWED")
        nobody = await app.call("POST", "/v1/run", None, json=ask())
        assert nobody.status == 401

        long = await app.events("/v1/run", key, ask(message="gates? " * 2_858))
        assert "message.final" in check_grammar(long)


async def test_sessions_belong_to_one_user(platform: Any) -> None:
    async with platform() as app:
        await app.command("seed", tenant="t1")
        mine = await app.key(role="reader", user="u1")
        same_tenant = await app.key(role="admin", user="u2")
        foreign = await app.key(tenant="t2", role="admin")
        json = {"Accept": "application/json"}
        for turn in (1, 2):
            answer = await app.call("POST", "/v1/run", mine, json=ask(), headers=json)
            assert answer.status == 200, answer.text
            assert answer.data["turn"] == turn
            assert answer.data["session"]["runs"] == turn
            assert answer.data["usage"]["output_tokens"] > 0

        (session,) = (await app.call("GET", "/v1/sessions", mine)).data
        assert (session["id"], session["turns"], session["busy"]) == ("s1", 2, False)
        said = (await app.call("GET", "/v1/sessions/s1/messages", mine)).data
        assert [(m["turn"], m["role"]) for m in said] == [
            (1, "user"), (1, "assistant"), (2, "user"), (2, "assistant"),
        ]  # fmt: skip
        page = await app.call("GET", "/v1/sessions/s1/messages", mine, params={"limit": "1", "offset": "2"})
        assert [m["turn"] for m in page.data] == [2]

        for other in (same_tenant, foreign):
            assert (await app.call("GET", "/v1/sessions", other)).data == []
            for method, path in (("GET", "/v1/sessions/s1/messages"), ("DELETE", "/v1/sessions/s1")):
                refused = await app.call(method, path, other)
                assert (refused.status, refused.code) == (404, "NOT_FOUND")
        theirs = await app.call("POST", "/v1/run", same_tenant, json=ask(), headers=json)
        assert theirs.data["turn"] == 1

        assert (await app.call("DELETE", "/v1/sessions/s1", mine)).status == 204
        assert (await app.call("GET", "/v1/sessions/s1/messages", mine)).status == 404
        assert len((await app.call("GET", "/v1/sessions/s1/messages", same_tenant)).data) == 2


async def test_a_revoked_document_leaves_the_next_run_and_the_stored_answers(platform: Any) -> None:
    async with platform(settings={"LLM_PROVIDER": "extractive"}) as app:
        await app.command("seed", tenant="t1")
        admin = await app.key(role="admin", user="boss")
        reader = await app.key(role="reader", user="u1")
        json = {"Accept": "application/json"}
        first = await app.call("POST", "/v1/run", reader, json=ask(), headers=json)
        cited = first.data["citations"][0]["document_id"]
        path = f"/v1/admin/authz/documents/{cited}/permissions"
        for grant in (await app.call("GET", path, admin)).data["items"]:
            assert (await app.call("DELETE", f"{path}/{grant['id']}", admin)).status in (200, 204)
        second = await app.call("POST", "/v1/run", reader, json=ask(), headers=json)
        assert cited not in {c["document_id"] for c in second.data["citations"]}
        stored = (await app.call("GET", "/v1/sessions/s1/messages", reader)).data
        assert [(m["role"], m["redacted"]) for m in stored[:3]] == [
            ("user", False), ("assistant", True), ("user", False),
        ]  # fmt: skip
        assert (stored[1]["text"], stored[1]["citations"]) == ("", [])
        # Names and texts of what was revoked stand nowhere in the reader's own history.
        assert first.data["text"] not in str(stored)


SPOKEN = {"LLM_PROVIDER": "extractive", "TTS_PROVIDER": "fake"}


async def _turn_result(app: Any, key: str, session: str) -> tuple[str, str]:
    """A spoken answer's path, and the document it quotes."""
    body = ask(audio=True, session_id=session)
    answer = await app.call("POST", "/v1/run", key, json=body, headers={"Accept": "application/json"})
    assert answer.status == 200, answer.text
    path = f"/v1/audio/{answer.data['audio']['audio_id']}.mp3"
    assert (await app.call("GET", path)).status == 200
    return path, answer.data["citations"][0]["document_id"]


async def test_speech_is_heard_only_while_its_listener_may_read_what_it_quotes(platform: Any) -> None:
    async with platform(settings=SPOKEN) as app:
        await app.command("seed", tenant="t1")
        admin = await app.key(role="admin", user="boss")
        keys = {user: await app.key(role="reader", user=user) for user in ("u1", "u2", "u3")}
        heard = {user: await _turn_result(app, key, user) for user, key in keys.items()}
        directory = app.platform.facades["apikeys"].use(Directory)

        async def statuses() -> list[int]:
            return [(await app.call("GET", path)).status for path, _document in heard.values()]

        async with app.platform.parts.db.tenant("t1") as tx:
            await directory.set_active(tx, "u1", False, by="boss")
        assert await statuses() == [404, 200, 200]
        listed = (await app.call("GET", "/v1/admin/api-keys", admin)).data["items"]
        key_id = next(k["key_id"] for k in listed if keys["u2"].split("_")[1] == k["key_id"])
        await app.command("keys", "revoke", key_id=key_id)
        assert await statuses() == [404, 404, 200]
        async with app.platform.parts.db.tenant("t1") as tx:
            await directory.set_active(tx, "u1", True, by="boss")
        assert await statuses() == [200, 404, 200]
        _path, cited = heard["u3"]
        path = f"/v1/admin/authz/documents/{cited}/permissions"
        for grant in (await app.call("GET", path, admin)).data["items"]:
            await app.call("DELETE", f"{path}/{grant['id']}", admin)
        assert await statuses() == [404, 404, 404]


async def test_speech_ends_with_the_group_that_opened_its_documents(platform: Any) -> None:
    async with platform(settings=SPOKEN) as app:
        await app.command("seed", tenant="t1")
        admin = await app.key(role="admin", user="boss")
        reader = await app.key(role="reader", user="u1")
        directory = app.platform.facades["apikeys"].use(Directory)
        async with app.platform.parts.db.tenant("t1") as tx:
            await directory.ensure_group(tx, "g1", "G")
            await directory.set_groups(tx, "u1", frozenset({"g1"}))
            documents = await tx.fetch("SELECT id FROM documents.documents")
        for document in documents:
            path = f"/v1/admin/authz/documents/{document['id']}/permissions"
            for grant in (await app.call("GET", path, admin)).data["items"]:
                await app.call("DELETE", f"{path}/{grant['id']}", admin)
            body = {"principal_type": "group", "principal_id": "g1", "permission": "read"}
            assert (await app.call("POST", path, admin, json=body)).status == 201
        path, _cited = await _turn_result(app, reader, "s1")
        async with app.platform.parts.db.tenant("t1") as tx:
            await directory.set_groups(tx, "u1", frozenset())
        assert (await app.call("GET", path)).status == 404


async def test_a_swarm_on_one_session_is_ordered_and_a_client_that_leaves_frees_it(platform: Any) -> None:
    settings = {"FAKE_TOKEN_DELAY_MS": "50", "RUN_SSE_HEARTBEAT_S": "0.1"}
    async with platform(settings=settings) as app:
        await app.command("seed", tenant="t1")
        key = await app.key(role="reader")
        json = {"Accept": "application/json"}
        answers = await asyncio.gather(
            *(app.call("POST", "/v1/run", key, json=ask(), headers=json) for _ in range(20))
        )
        assert Counter(a.status for a in answers) == {200: 1, 409: 19}
        assert {a.code for a in answers if a.status == 409} == {"SESSION_BUSY"}

        started = asyncio.Event()

        async def leave() -> None:
            async for event in app.stream("/v1/run", key, ask(message="leaving")):
                if event.type == "token.delta":
                    started.set()

        reader = asyncio.create_task(leave())
        await started.wait()
        busy = await app.events("/v1/run", key, ask())
        assert check_grammar(busy) == ["request.accepted", "error", "done"]
        # Heartbeats may stand between the events.
        assert [event.data["code"] for event in busy if event.type == "error"] == ["SESSION_BUSY"]
        reader.cancel()
        await asyncio.wait({reader})
        await asyncio.sleep(1)
        (session,) = (await app.call("GET", "/v1/sessions", key)).data
        assert not session["busy"]
        last = (await app.call("GET", "/v1/sessions/s1/messages", key)).data[-1]
        assert (last["role"], last["status"], last["turn"]) == ("assistant", "partial", 2)


async def test_ask_answers_from_the_terminal(platform: Any) -> None:
    async with platform(settings={"LLM_PROVIDER": "extractive"}) as app:
        await app.command("seed", tenant="t1")
        console = await app.command("ask", tenant="t1", corpus="c1", question=QUESTION)
        answer = console.results[-1]
        assert answer["citations"]
        *_, below, notice = console.said
        assert notice.strip() == answer["notice"]
        lines = below.strip().splitlines()
        assert [line.split("]")[0] for line in lines] == [f"[{c['n']}" for c in answer["citations"]]
