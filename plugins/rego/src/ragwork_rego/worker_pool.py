"""The evaluating processes: started when needed, asked one thing at a time, replaced when they end."""

import asyncio
import json
import signal
import sys
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import attrs
from ragwork_hooks.shares import Shares

_WORKER: Final = Path(__file__).with_name("worker.py")
#: Policies that one process keeps compiled: at 20 KB each.
MAX_KNOWN: Final = 2_000

Ending: TypeAlias = Literal["done", "too slow", "crashed"]
Answer: TypeAlias = Mapping[str, Any]


@attrs.frozen(kw_only=True)
class WorkerPolicy:
    """The answers that came, in order, and whether the process ended over the next one."""

    answers: Sequence[Answer]
    ending: Ending


class PolicyWorker:
    """One process. Used by one caller at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._known: OrderedDict[str, None] = OrderedDict()

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    async def decide(self, modules: Mapping[str, tuple[str, str | None]], question: bytes) -> WorkerPolicy:
        """One answer per module, in order; ``modules`` is key → text and its explained form."""
        unknown = {key: texts for key, texts in modules.items() if key not in self._known}
        for key in modules:
            self._known[key] = None
            self._known.move_to_end(key)
        dropped = [self._known.popitem(last=False)[0] for _ in range(len(self._known) - MAX_KNOWN)]
        head = json.dumps({"drop": dropped, "load": unknown, "ask": list(modules)})
        return await self._exchange(head.encode()[:-1] + b', "input": ' + question + b"}\n")

    async def check(self, text: str) -> WorkerPolicy:
        return await self._exchange(json.dumps({"check": text}).encode() + b"\n")

    async def end(self) -> None:
        """Kill it, if it still runs."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def _exchange(self, request: bytes) -> WorkerPolicy:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:  # both are pipes, see ``start``
            raise RuntimeError("the process has no pipes")
        answers: list[Answer] = []
        try:
            stdin.write(request)
            await stdin.drain()
            while line := await stdout.readline():
                answer = json.loads(line)
                if not answer:
                    return WorkerPolicy(answers=answers, ending="done")
                answers.append(answer)
        except (ConnectionError, ValueError):
            await self.end()  # a pipe that broke or a line cut short: it is gone, or not to be trusted
        status = await self._process.wait()
        return WorkerPolicy(answers=answers, ending="too slow" if status == -signal.SIGPROF else "crashed")


class WorkerPool:
    """A process for each of ``places``, started when it is first needed."""

    def __init__(self, places: Shares, cpu_seconds: float, memory_bytes: int) -> None:
        self._arguments = (str(memory_bytes), str(cpu_seconds))
        self._places = places
        self._idle: list[PolicyWorker] = []

    @property
    def is_crowded(self) -> bool:
        """Whether somebody waits for a process."""
        return self._places.waiting > 0

    @asynccontextmanager
    async def one(self, tenant: str | None = None) -> AsyncIterator[PolicyWorker]:
        """A living process for the length of the block, in a place of ``tenant``'s share.

        One that was left in the middle is ended.
        """
        with await self._places.take(tenant=tenant):
            worker = self._idle.pop() if self._idle else None
            is_whole = False
            try:
                if worker is None or not worker.is_alive:
                    worker = await self._start()
                yield worker
                is_whole = True
            finally:
                if worker is not None and is_whole:
                    self._idle.append(worker)
                elif worker is not None:
                    await worker.end()

    async def close(self) -> None:
        """End every process. Nobody may use one any more."""
        while self._idle:
            await self._idle.pop().end()

    async def _start(self) -> PolicyWorker:
        # No environment: it holds secrets that a policy has no business with.
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", str(_WORKER), *self._arguments,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL, env={},
        )  # fmt: skip
        return PolicyWorker(process)
