"""What the kit of retrievers over a service works with: the service as the kit drives it, and how it is asked."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, cast

import attrs
import pytest
from ragwork_hooks.authz import Everything
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.retrieval import Passage, Query, Retriever
from ragwork_hooks.storage import Transaction

from ragwork_testkit.watched import watched

TENANT, OTHER = "t1", "t2"

Fault: TypeAlias = Literal[
    "unauthorized",  # 401, or what the service has for unknown credentials
    "forbidden",  # 403
    "refused",  # 400
    "absent",  # 404: no such index
    "throttled",  # 429 with ``Retry-After: 7``
    "broken",  # 500
    "away",  # 503 without Retry-After
    "stall",  # the request is read, and nothing comes
    "drop",  # the connection is cut
    "malformed",  # 200 with what is not JSON
    "truncated",  # 200 with half an answer
    "wrong_shape",  # 200 with JSON of the wrong types
]


@attrs.frozen(kw_only=True)
class Hit:
    """What the service shall find: a piece of a document of the platform."""

    document_id: str
    text: str
    score: float = 0.5
    metadata: Mapping[str, object] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Codes:
    """The contract codes of this provider."""

    config: str
    auth: str
    failed: str


class Service(Protocol):
    """The local server, as the kit drives it."""

    def serve(self, hits: Sequence[Hit], tenant: str | None = None) -> Mapping[str, object]:
        """Corpus options of a new index that finds ``hits``, best first, whatever is asked.

        With ``tenant``, only credentials of this tenant may read it; the options name them by ``credentials_ref``.
        """

    def fail(self, fault: Fault) -> None:
        """The next request goes wrong in this way."""

    @property
    def calls(self) -> int:
        """Requests so far."""

    @property
    def abandoned(self) -> int:
        """Requests so far whose client left before the answer."""


class LocalService:
    """What most services have: a local server with ``fail``, ``requests`` and ``abandoned``, and its own word for
    each fault.
    """

    def __init__(self, server: Any, faults: Mapping[Fault, Mapping[str, Any]]) -> None:
        self.server = server
        self._faults = faults

    def fail(self, fault: Fault) -> None:
        self.server.fail(**self._faults[fault])

    @property
    def calls(self) -> int:
        return len(self.server.requests)

    @property
    def abandoned(self) -> int:
        return int(self.server.abandoned)


@attrs.frozen(kw_only=True)
class Remote:
    """What the contract works with. ``retriever`` must allow ``concurrency`` calls at a time, and give up
    after ``timeout_s``.
    """

    retriever: Retriever
    service: Service
    codes: Codes
    concurrency: int = 4
    timeout_s: float = 2.0

    async def find(
        self,
        options: Mapping[str, object],
        text: str = "when do the gates close",
        *,
        tenant: str = TENANT,
        top_k: int = 10,
        filter: Mapping[str, object] | None = None,
        distinct: Literal["document"] | None = None,
    ) -> Sequence[Passage]:
        """The passages, read with a transaction that no remote retriever has a use for."""
        query = Query(
            corpus_id="c",
            text=text,
            top_k=top_k,
            embedder="none",
            filter=filter or {},
            distinct=distinct,
            options=options,
        )
        prepared = watched(await watched(self.retriever).prepare(tenant, query))
        return await prepared.passages(cast(Transaction, _Untouched()), Everything())

    async def failure(self, options: Mapping[str, object], tenant: str = TENANT) -> ProviderError:
        """The error that asking ends with."""
        with pytest.raises(ProviderError) as caught:
            await self.find(options, tenant=tenant)
        return caught.value


class _Untouched:
    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"a remote retriever used the transaction: {name}")
