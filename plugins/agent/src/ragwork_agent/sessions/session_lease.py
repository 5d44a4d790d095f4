"""A run's hold on its session: taken in the opening transaction, kept alive, released in the closing one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from types import TracebackType

from ragwork_hooks.errors import Problem
from ragwork_hooks.events import Event
from ragwork_hooks.http import Recorder
from ragwork_hooks.storage import Transaction

from ragwork_agent.run.runtime import AgentRuntime
from ragwork_agent.sessions.session_store import (
    LEASE_S,
    SessionKey,
    Turn,
    TurnResult,
    close_turn,
    open_turn,
    renew_turn,
)


class SessionLease:
    """Use as a context manager around the run: whatever ends it, the session is free afterwards.

    A run that ends early leaves what ``partial`` says was spoken so far. A process that dies leaves a
    lease that runs out after ``LEASE_S`` seconds of the database's clock.
    """

    def __init__(
        self,
        runtime: AgentRuntime,
        tenant_id: str,
        key: SessionKey,
        request_id: str,
        *,
        partial: Callable[[], TurnResult],
        record: Recorder | None,
    ) -> None:
        self._runtime = runtime
        self._db = runtime.services.db
        self._tenant_id = tenant_id
        self._key = key
        self._request_id = request_id
        self._partial = partial
        self._record = record
        self._renewing: asyncio.Task[None] | None = None
        self._turn: Turn | None = None
        self._committed = False
        self._closed = False

    async def __aenter__(self) -> "SessionLease":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
        if self._committed and not self._closed:
            try:
                await self.close(self._partial())
            except Exception as failure:
                # The caller gets the run's own error; the lease frees the session.
                self._runtime.services.metrics.count(
                    "run_release_failures_total", "Turns left to their lease", kind=type(failure).__name__
                )

    @property
    def taken(self) -> bool:
        """Whether the turn was taken for good."""
        return self._committed

    @asynccontextmanager
    async def opened(
        self, corpus_ids: Sequence[str], question: str
    ) -> AsyncIterator[tuple[Transaction, Turn]]:
        """The opening transaction, in which the turn is taken. Raises ``Problem`` 409 SESSION_BUSY.

        Once the block is left the question is durable, and no connection is held. A run that ends inside it leaves
        the session as it was.
        """
        async with self._db.tenant(self._tenant_id) as tx:
            self._turn = await self._take(tx, corpus_ids, question)
            yield tx, self._turn
            # Set before the commit: releasing a turn that was not committed changes nothing.
            self._committed = True
        self._renewing = asyncio.create_task(self._renew())

    async def close(self, result: TurnResult) -> None:
        """Keep the answer and release the session, even if the run is cancelled meanwhile. Only once."""
        self._closed = True
        await asyncio.shield(self._runtime.tasks.start(self._release(result), "end of turn"))

    async def note(self, corpus_ids: Sequence[str], question: str) -> None:
        """Keep the question of a run that failed before it could take its turn."""
        with suppress(Problem):
            async with self._db.tenant(self._tenant_id) as tx:
                turn = await self._take(tx, corpus_ids, question)
                await close_turn(tx, turn, self._partial())

    async def _take(self, tx: Transaction, corpus_ids: Sequence[str], question: str) -> Turn:
        turn = await open_turn(
            tx,
            self._key,
            corpus_ids=corpus_ids,
            question=question,
            request_id=self._request_id,
            history=self._runtime.config.max_history_messages,
        )
        if self._record is not None:
            await self._record(tx)
        return turn

    async def _release(self, result: TurnResult) -> None:
        if self._turn is None:
            raise RuntimeError("no turn was taken")
        async with self._db.tenant(self._tenant_id) as tx:
            await close_turn(tx, self._turn, result)
            await self._runtime.services.events.publish(tx, self._used(result))

    def _used(self, result: TurnResult) -> Event:
        """What the run cost, for whoever meters: durable with the answer, so counted once."""
        payload = {
            "provider": result.provider or self._runtime.config.llm_provider,
            "model": result.model,
            "request_id": self._request_id,
            "status": result.status,
            **result.usage.as_json(),
        }
        return Event(type="run.finished", key=self._key.session_id, payload=payload)

    async def _renew(self) -> None:
        """Renew the lease while the run lasts; a database that is away is asked again."""
        held = self._turn
        while held is not None:
            await asyncio.sleep(LEASE_S / 3)
            with suppress(Problem):
                async with self._db.tenant(self._tenant_id) as tx:
                    held = held if await renew_turn(tx, held) else None
