"""What belongs to a document: its chunks, its attachments, its equals, and an end to its ingestion."""

import asyncio
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

from ragwork_testkit.platform import DEFAULT_PLUGINS
from test_files_over_the_api import FACT, PLUGINS, corpus, form, pdf, settled


def letter(*attachments: tuple[str, bytes]) -> bytes:
    made = EmailMessage()
    made["Subject"], made["From"], made["To"] = "Plans", "ada@harbour.example", "eve@harbour.example"
    made.set_content("The plans for the harbour are attached.")
    for name, content in attachments:
        made.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return made.as_bytes()


async def upload(app: Any, key: str, data: bytes, name: str, document_id: str) -> Any:
    taken = await app.call("POST", "/v1/documents", key, data=form(data, name, "", document_id))
    assert taken.status == 202, taken.text
    return await settled(app, key, document_id)


async def text(app: Any, key: str, document_id: str, said: str) -> Any:
    body = {"corpus_id": "c", "document_id": document_id, "text": said}
    taken = await app.call("POST", "/v1/documents/text", key, json=body)
    assert taken.status == 202, taken.text
    return await settled(app, key, document_id)


async def found(app: Any, key: str, query: str, **more: object) -> list[Any]:
    answer = await app.call("POST", "/v1/retrieve", key, json={"query": query, "corpus_id": "c", **more})
    assert answer.status == 200, answer.text
    return list(answer.data["passages"])


async def family_settled(app: Any, key: str, document_ids: list[str]) -> None:
    for document_id in document_ids:
        assert (await settled(app, key, document_id))["status"] == "succeeded"


async def test_chunks_are_listed_in_pages_and_cut_from_the_text(platform: Callable[..., Any]) -> None:
    said = "\n\n".join(f"Paragraph {number} of the rules of the harbour. " * 8 for number in range(12))
    async with platform(plugins=DEFAULT_PLUGINS) as app:
        key = await corpus(app)
        document = await text(app, key, "rules", said)
        chunks, offset = [], 0
        while offset is not None:
            page = (await app.call("GET", f"/v1/documents/rules/chunks?limit=2&offset={offset}", key)).data
            chunks += page["items"]
            offset = page["next_offset"]
        assert [chunk["ordinal"] for chunk in chunks] == list(range(document["num_chunks"]))
        assert all(said[chunk["start"] : chunk["end"]] == chunk["text"] for chunk in chunks)
        assert {passage["chunk_id"] for passage in await found(app, key, "Paragraph 3")} <= {
            c["id"] for c in chunks
        }
        stranger = await app.key(tenant="t2")
        assert (await app.call("GET", "/v1/documents/rules/chunks", stranger)).status == 404


async def test_what_was_attached_is_a_document_that_lives_and_dies_with_its_letter(
    platform: Callable[..., Any],
) -> None:
    async with platform(plugins=PLUGINS) as app:
        key = await corpus(app)
        inner = letter(("plan.pdf", pdf()))
        document = await upload(
            app, key, letter(("inner.eml", inner), ("tool.bin", b"\x7fELF" + bytes(64))), "l.eml", "l"
        )
        assert document["warnings"]
        assert "tool.bin" in document["warnings"][0]
        family = ["l.attachment-1", "l.attachment-1.attachment-1"]
        await family_settled(app, key, family)
        deepest = (await app.call("GET", f"/v1/documents/{family[1]}", key)).data
        assert (deepest["parent_id"], deepest["filename"]) == (family[0], "plan.pdf")
        assert (await found(app, key, FACT))[0]["document_id"] == family[1]

        reader = await app.key(tenant="t1", role="reader", user="rita")
        assert await found(app, reader, FACT) == []
        path = "/v1/admin/authz/documents/l/permissions"
        grant = {"principal_type": "user", "principal_id": "rita", "permission": "read"}
        given = await app.call("POST", path, key, json=grant)
        assert (await found(app, reader, FACT))[0]["document_id"] == family[1]
        assert (await app.call("GET", f"/v1/documents/{family[1]}", reader)).status == 200
        revoked = await app.call("DELETE", f"{path}/{given.data['id']}", key)
        assert revoked.status == 200, revoked.text
        assert await found(app, reader, FACT) == []
        assert (await app.call("GET", f"/v1/documents/{family[1]}", reader)).status == 403

        again = form(letter(("plan.pdf", pdf())), "l.eml", "", "l")
        again.add_field("overwrite", "true")
        assert (await app.call("POST", "/v1/documents", key, data=again)).status == 202
        await family_settled(app, key, ["l", "l.attachment-1"])
        assert (await app.call("GET", f"/v1/documents/{family[1]}", key)).status == 404
        assert (await app.call("DELETE", "/v1/documents/l", key)).status == 204
        assert (await app.call("GET", "/v1/documents", key)).data == []
        async with app.platform.parts.db.tenant("t1") as tx:
            assert await tx.fetchval("SELECT count(*) FROM pgvector.chunks") == 0
            assert await tx.fetchval("SELECT count(*) FROM ragwork.blobs") == 0


async def test_equal_texts_are_one_passage_and_the_later_names_the_first(
    platform: Callable[..., Any],
) -> None:
    async with platform(plugins=DEFAULT_PLUGINS) as app:
        key = await corpus(app)
        for document_id in ("first", "second", "third"):
            await text(app, key, document_id, FACT)
        for number in range(4):
            await text(app, key, f"other-{number}", f"The castle gate {number} is never closed.")
        passages = await found(app, key, "When does the harbour gate open?", top_k=5)
        assert next(passage["document_id"] for passage in passages) == "first"
        assert len({passage["text"] for passage in passages}) == len(passages) == 5
        said = {
            each["id"]: each["duplicate_of"] for each in (await app.call("GET", "/v1/documents", key)).data
        }
        assert (said["first"], said["second"], said["third"], said["other-0"]) == (
            None,
            "first",
            "first",
            None,
        )
        other = await app.key(tenant="t1", role="editor", user="bob")
        assert (await app.call("GET", "/v1/documents/second", other)).status == 403
        await text(app, other, "fourth", FACT)
        mine = (await app.call("GET", "/v1/documents/fourth", other)).data
        assert mine["duplicate_of"] is None, "a document that the caller may not read was named"
        await app.call("DELETE", "/v1/documents/first", key)
        assert (await app.call("GET", "/v1/documents/third", key)).data["duplicate_of"] == "second"


async def test_what_does_not_fit_is_left_out_below_min_score(platform: Callable[..., Any]) -> None:
    notes = ("Bees gather nectar from flowers.", "A hive has one queen.", "Wax is made by worker bees.")
    async with platform(plugins=DEFAULT_PLUGINS) as app:
        key = await corpus(app)
        for number, note in enumerate(notes):
            await text(app, key, f"n{number}", note)
        unrelated, related = "What is the capital of France?", "How many queens has a hive?"
        (best, *_) = await found(app, key, related)
        assert (best["document_id"], best["relevance"] > 0.25) == ("n1", True)
        assert all(passage["relevance"] < 0.25 for passage in await found(app, key, unrelated))
        assert await found(app, key, unrelated, min_score=0.25) == []
        assert (
            next(passage["document_id"] for passage in await found(app, key, related, min_score=0.25)) == "n1"
        )
        config = {"retrieval": {"min_score": 0.25}}
        patched = await app.call("PATCH", "/v1/corpora/c", key, json={"provider_config_json": config})
        assert patched.status == 200, patched.text
        assert await found(app, key, unrelated) == []
        assert await found(app, key, unrelated, min_score=0)
        run = {"session_id": "s", "corpus_id": "c", "message": unrelated}
        assert (await app.events("/v1/run", key, run))[-2].data["citations"] == []
        wrong = await app.call(
            "PATCH", "/v1/corpora/c", key, json={"provider_config_json": {"retrieval": {"min_score": 2}}}
        )
        assert (wrong.status, "min_score" in wrong.text) == (422, True)


async def test_a_cancelled_document_is_not_indexed_and_can_be_ingested_again(
    platform: Callable[..., Any],
) -> None:
    said = "\n\n".join(f"Rule {number} of the harbour says nothing of gates. " * 6 for number in range(3_000))
    async with platform(plugins=DEFAULT_PLUGINS) as app:
        key = await corpus(app)
        body = {"corpus_id": "c", "document_id": "long", "text": said}
        assert (await app.call("POST", "/v1/documents/text", key, json=body)).status == 202
        ended = await app.call("POST", "/v1/documents/long/cancel", key)
        assert ended.status == 200, ended.text
        assert ended.data["status"] == "failed"
        assert ended.data["failure_reason"].startswith("cancelled: ")
        stranger = await app.key(tenant="t2")
        assert (await app.call("POST", "/v1/documents/long/cancel", stranger)).status == 404
        again = await app.call("POST", "/v1/documents/long/reindex", key)
        assert again.status == 202, again.text
        assert (await settled(app, key, "long"))["status"] == "succeeded"
        late = await app.call("POST", "/v1/documents/long/cancel", key)
        assert (late.status, late.data["status"]) == (200, "succeeded")


async def test_cancelling_and_indexing_at_once_leave_all_of_a_document_or_nothing(
    platform: Callable[..., Any],
) -> None:
    said = "\n\n".join(f"Rule {number} of the harbour says nothing of gates. " * 6 for number in range(60))
    async with platform(plugins=DEFAULT_PLUGINS) as app:
        key = await corpus(app)

        async def one(number: int) -> None:
            body = {"corpus_id": "c", "document_id": f"d{number}", "text": said}
            await app.call("POST", "/v1/documents/text", key, json=body)
            await asyncio.sleep(number * 0.03)
            await app.call("POST", f"/v1/documents/d{number}/cancel", key)
            document = await settled(app, key, f"d{number}")
            listed = (await app.call("GET", f"/v1/documents/d{number}/chunks?limit=200", key)).data["items"]
            if document["status"] == "succeeded":
                assert len(listed) == document["num_chunks"]
            else:
                assert (listed, document["failure_reason"].split(":")[0]) == ([], "cancelled")

        await asyncio.gather(*(one(number) for number in range(12)))


async def test_a_citation_opens_the_version_that_was_read_or_nothing(platform: Callable[..., Any]) -> None:
    async with platform(plugins=DEFAULT_PLUGINS) as app:
        key = await corpus(app)
        await text(app, key, "d", FACT)

        async def opened(version: int) -> Any:
            return await app.call("GET", f"/v1/documents/d/text?version={version}", key)

        assert (await opened(1)).text == FACT
        assert (await app.call("POST", "/v1/documents/d/reindex", key)).status == 202
        await settled(app, key, "d")
        assert [(await opened(version)).text for version in (1, 2)] == [FACT, FACT]
        body = {"corpus_id": "c", "document_id": "d", "text": "The gate is closed.", "overwrite": True}
        assert (await app.call("POST", "/v1/documents/text", key, json=body)).status == 202
        await settled(app, key, "d")
        gone = await opened(2)
        assert (gone.status, "is gone: it is at 3" in gone.text) == (404, True)
        assert (await opened(3)).text == "The gate is closed."
        assert (await opened(4)).status == 404
