"""A corpus whose passages an outside service finds, through a whole platform: made, filled and asked over HTTP."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from ragwork_testkit.platform import Answer, ReceivedEvent, Running

#: Document id → text: what the catalogue holds of a service's index.
TEXTS: Final[Mapping[str, str]] = {
    "tide": "The lock gates close at low tide.",
    "bread": "Bread rises in a warm kitchen.",
}
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
            await self._ingested(key, name)

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

    async def _ingested(self, key: str, name: str) -> None:
        for _ in range(300):
            found = await self.app.call("GET", f"/v1/documents/{name}", key)
            if found.data["status"] == "succeeded":
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{name} is still {found.data['status']}")
