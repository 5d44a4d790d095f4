"""The evaluating processes: started when needed, asked one thing at a time, replaced when they end."""

import asyncio
import json
import signal
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import attrs
from ragwork_hooks.shares import Shares
from ragwork_toolkit.process_pool import ProcessPool, kill, start_isolated

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
        await kill(self._process)

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


def worker_pool(places: Shares, cpu_seconds: float, memory_bytes: int) -> ProcessPool[PolicyWorker]:
    """A process for each of ``places``."""

    async def start() -> PolicyWorker:
        return PolicyWorker(await start_isolated(_WORKER, str(memory_bytes), str(cpu_seconds)))

    return ProcessPool(places, start)
