"""A corpus whose passages an outside service finds, through a whole platform: made, filled and asked over HTTP."""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from ragwork_testkit.platform import Answer, ReceivedEvent, Running

#: Document id → text: what the catalogue holds of a service's index.
TEXTS: Final[Mapping[str, str]] = {
    "tide": "The lock gates close at low tide.",
    "bread": "Bread rises in a warm kitchen.",
}
#: What a service finds and the catalogue does not hold.
UNKNOWN: Final = "A page that the platform knows nothing of."
QUESTION: Final = "when do the gates close"


@attrs.frozen(kw_only=True)
class RemoteCorpus:
    """The corpus ``corpus_id`` of whichever tenant a key belongs to, with this ``retrieval`` section."""

    app: Running
    corpus_id: str
    retrieval: Mapping[str, object]

    def config(self, **options: object) -> dict[str, object]:
        """Its ``provider_config_json`` with further options; those that are ``None`` are left out."""
        section = {**self.retrieval, **options}
        return {"retrieval": {name: value for name, value in section.items() if value is not None}}

    async def create(self, key: str, **options: object) -> Answer:
        body = {
            "id": self.corpus_id,
            "name": self.corpus_id,
            "provider_config_json": self.config(**options),
        }
        return await self.app.call("POST", "/v1/corpora", key, json=body)

    async def patch(self, key: str, **options: object) -> Answer:
        body = {"provider_config_json": self.config(**options)}
        return await self.app.call("PATCH", f"/v1/corpora/{self.corpus_id}", key, json=body)

    async def fill(self, key: str) -> None:
        """The catalogue's side of the index: the documents of ``TEXTS``, ingested."""
        for name, text in TEXTS.items():
            body = {"corpus_id": self.corpus_id, "document_id": name, "text": text}
            answer = await self.app.call("POST", "/v1/documents/text", key, json=body)
            assert answer.status == 202, answer.text
        for name in TEXTS:
            await self.app.ingested(key, name)

    async def retrieve(self, key: str, **more: object) -> Answer:
        body = {"corpus_id": self.corpus_id, "query": QUESTION, **more}
        return await self.app.call("POST", "/v1/retrieve", key, json=body)

    async def ids(self, key: str, **more: object) -> Sequence[str]:
        """The documents of the passages found, best first."""
        answer = await self.retrieve(key, **more)
        assert answer.status == 200, answer.text
        return [passage["document_id"] for passage in answer.data["passages"]]

    async def run(self, key: str) -> Sequence[ReceivedEvent]:
        body = {"session_id": "s", "corpus_id": self.corpus_id, "message": QUESTION, "top_k": 5}
        return await self.app.events("/v1/run", key, body)

    async def check_rights(self, server: Any) -> None:
        """Of ``TEXTS`` and more that ``server`` finds, each caller gets what they may read, and so does the model, to
        which the second of a run's two ``server.requests`` goes.
        """
        ann, bob = await self.app.key("t1", "editor", "ann"), await self.app.key("t1", "reader", "bob")
        admin = await self.app.key("t1", "admin", "root")
        assert (await self.create(ann)).status == 201
        await self.fill(ann)
        assert await self.ids(ann) == ["tide", "bread"]
        assert await self.ids(bob) == []
        grant = {"principal_type": "user", "principal_id": "bob", "permission": "read"}
        path = "/v1/admin/authz/documents/bread/permissions"
        assert (await self.app.call("POST", path, admin, json=grant)).status == 201
        assert await self.ids(bob) == ["bread"]
        before = len(server.requests)
        events = await self.run(bob)
        assert events[-1].type == "done", [event.payload for event in events]
        assert len(server.requests) == before + 2
        prompt = json.dumps(server.requests[-1].body)
        assert TEXTS["bread"] in prompt
        assert TEXTS["tide"] not in prompt
        assert UNKNOWN not in prompt

    async def check_cited_run(self, source: str, **options: object) -> None:
        """A run answers with the model's words and cites the first of ``TEXTS`` as standing in ``source``."""
        key = await self.app.key("t2", "editor", "ann")
        await self.create(key, **options)
        await self.fill(key)
        events = await self.run(key)
        (final,) = (event for event in events if event.type == "message.final")
        assert events[-1].type == "done"
        assert final.data["text"].endswith(f"{QUESTION} [1]")
        (citation,) = final.data["citations"]
        assert (citation["document_id"], citation["source"]) == ("tide", source)
        assert citation["quote"] in TEXTS["tide"]

    async def check_filter(self, text: str, **options: object) -> None:
        """A filter by ``part``, which the service calls ``chapter``, finds ``text`` alone, which is of chapter 2."""
        key = await self.app.key("t4", "editor", "ann")
        await self.create(key, filter_keys={"part": "chapter"}, **options)
        await self.fill(key)
        answer = await self.retrieve(key, filter={"part": 2})
        assert [passage["text"] for passage in answer.data["passages"]] == [text]

    async def check_refused_option(self, option: str, value: object, named: str) -> None:
        """A corpus with ``option`` is refused by a message that has it and ``named``."""
        key = await self.app.key("t3", "editor", "ann")
        answer = await self.create(key, **{option: value})
        assert answer.status == 422, answer.text
        assert option in answer.text
        assert named in answer.text

    async def check_failure(
        self, server: Any, options: Mapping[str, object], fault: Mapping[str, Any] | None, code: str
    ) -> None:
        """With these ``options``, or this ``fault`` of ``server``, a retrieval and a run each end with ``code``."""
        key = await self.app.key(f"f-{uuid.uuid4().hex[:8]}", "editor", "ann")
        assert (await self.create(key, **options)).status == 201
        for _ in range(2 if fault else 0):
            server.fail(**(fault or {}))
        answer = await self.retrieve(key)
        assert (answer.status, answer.code) == (503, code)
        assert answer.headers.get("Retry-After") == (fault or {}).get("retry_after")
        await self.check_broken_run(key, code)

    async def check_broken_run(self, key: str, code: str) -> None:
        """A run that ends with ``code``."""
        events = await self.run(key)
        assert [event.type for event in events][-2:] == ["error", "done"]
        assert code in json.dumps(events[-2].payload)

    async def check_own_credentials(self, code: str) -> None:
        """With the credentials ``theirs`` of tenant ``own-1`` alone, that tenant finds ``TEXTS``; one of nearly the
        same name gets ``code``.
        """
        key, thief = (
            await self.app.key("own-1", "editor", "ann"),
            await self.app.key("own_1", "editor", "ann"),
        )
        for each in (key, thief):
            assert (await self.create(each, credentials_ref="theirs")).status == 201
        await self.fill(key)
        assert await self.ids(key) == ["tide", "bread"]
        answer = await self.retrieve(thief)
        assert (answer.status, answer.code) == (503, code)

    async def check_sharing(self, option: str, setting: str) -> None:
        """What is shared with tenant ``t7`` as ``own`` is refused to another, with the ``setting`` that would allow
        it.
        """
        mine, others = await self.app.key("t7", "editor", "ann"), await self.app.key("t8", "editor", "ann")
        own = {option: "own"}
        assert (await self.create(mine, **own)).status == 201
        assert (await self.create(others)).status == 201
        refused = [
            await self.patch(others, **own),
            await self.patch(others, shadow=self.retrieval["provider"], shadow_options=own),
        ]
        for answer in refused:
            assert (answer.status, answer.code) == (422, "REQUEST_VALIDATION_ERROR"), answer.text
            assert "credentials_ref" in answer.text
            assert f"{setting} to hold t8:own" in answer.text
        assert (await self.patch(others, **own, credentials_ref="theirs")).status == 200
