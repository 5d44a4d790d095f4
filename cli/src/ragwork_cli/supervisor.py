"""``ragwork serve --workers N``: a supervisor that serves nothing itself. It starts worker processes, replaces those
that end, and on SIGHUP all of them, one after the other.
"""

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from ragwork_hooks.errors import ConfigError
from ragwork_kernel.base.telemetry import configure_logging
from ragwork_kernel.boot import plugin_set as assemblies
from ragwork_kernel.boot.leaving import GRACE_S, Leaving
from ragwork_kernel.boot.listening_socket import SharedAddress

from ragwork_cli import start_messages
from ragwork_cli.console import TerminalConsole
from ragwork_cli.worker_processes import WorkerProcess, WorkerProcesses

log = logging.getLogger(__name__)
#: Starts in a row that may fail at one place before the supervisor gives up.
MOST_FAILED_STARTS: Final = 5
_FIRST_DELAY_S: Final = 0.5
#: Who served for so long died of something else than its start.
_STEADY_S: Final = 10.0


async def serve(options: Mapping[str, Any], data_dir: Path, console: TerminalConsole) -> int:
    """Until told to leave, or until worker processes can't be started any more."""
    host, count = options["host"], options["workers"]
    assembly = assemblies.read()
    if assembly.kernel.redis_url is None:
        raise ConfigError(
            "REDIS_URL",
            f"is unset, and each of {count} worker processes would keep limits and logins for itself",
            "set it to a Redis or Valkey that they share, or leave out --workers",
        )
    configure_logging(assembly.kernel.log_level)
    start_messages.warn(assembly)
    start_messages.warn_of_host(assembly, host)
    address = SharedAddress(host, options["port"])
    # Worker processes have their own bound, which ends first.
    leaving = Leaving(assembly.kernel.drain_timeout_s + GRACE_S)
    leaving.serving = True
    workers = WorkerProcesses(address, data_dir, count)
    leaving.at_worst.append(workers.end_all_at_once)
    try:
        supervisor = Supervisor(
            workers, count, lambda: start_messages.announce(console, host, address.port, data_dir)
        )
        return await supervisor.run(leaving.told)
    finally:
        workers.close()


class Supervisor:
    """Keeps ``count`` places of worker processes filled; ``announce`` is called once all serve."""

    def __init__(self, workers: WorkerProcesses, count: int, announce: Callable[[], None]) -> None:
        self._workers = workers
        self._places = range(count)
        self._announce = announce
        self._present: dict[int, WorkerProcess] = {}
        #: Held by whoever fills the place anew.
        self._filling = [asyncio.Lock() for _ in self._places]
        self._roll = asyncio.Event()

    async def run(self, told: asyncio.Event) -> int:
        """Exit status. Raises ``ConfigError`` when worker processes end again and again as they start."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._roll.set)
        work, leave = asyncio.create_task(self._work()), asyncio.create_task(told.wait())
        await asyncio.wait((work, leave), return_when=asyncio.FIRST_COMPLETED)
        status = 0 if told.is_set() else None
        for task in (work, leave):
            task.cancel()
        await asyncio.gather(work, leave, return_exceptions=True)
        left = await self._workers.dismiss_all()
        return left if status == 0 else work.result()

    async def _work(self) -> int:
        """Only returns when the start failed."""
        # The first alone: it makes the database and brings the schema, and says what is wrong once.
        for places in (self._places[:1], self._places[1:]):
            started = await asyncio.gather(*map(self._workers.start, places))
            await asyncio.gather(*(worker.becomes_ready() for worker in started))
            for worker in started:
                if worker.ended.is_set():
                    log.error("worker process %d did not start: status %d", worker.process.pid, worker.status)
                    return worker.status or 1
                self._present[worker.place] = worker
        self._announce()
        tasks = [asyncio.create_task(self._keep(place)) for place in self._places]
        tasks.append(asyncio.create_task(self._roll_when_told()))
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return 1

    # --- worker processes that end ------------------------------------------------------------------

    async def _keep(self, place: int) -> None:
        """Fill the place again whenever who has it dies."""
        loop, failures = asyncio.get_running_loop(), 0
        while True:
            worker, since = self._present[place], loop.time()
            await worker.ended.wait()
            if self._present[place] is not worker:
                continue
            log.error("worker process %d ended: status %d", worker.process.pid, worker.status)
            if loop.time() - since >= _STEADY_S:
                failures = 0
            async with self._filling[place]:
                if self._present[place] is worker:
                    self._workers.renew_socket(place)
                    failures = await self._fill(place, failures)

    async def _fill(self, place: int, failures: int) -> int:
        """Start until one is ready; how often in a row processes of this place have failed now."""
        while True:
            if failures:
                await asyncio.sleep(_FIRST_DELAY_S * 2 ** (failures - 1))
            worker = await self._workers.start(place)
            if await worker.becomes_ready():
                log.info("worker process %d serves", worker.process.pid)
                self._present[place] = worker
                return min(failures + 1, MOST_FAILED_STARTS)
            failures += 1
            log.error("worker process %d did not start: status %d", worker.process.pid, worker.status)
            if failures >= MOST_FAILED_STARTS:
                raise ConfigError(
                    "--workers",
                    f"{failures} worker processes in a row ended as they started, the last with status {worker.status}",
                    "see what they said above",
                )

    # --- rolling restart ----------------------------------------------------------------------------

    async def _roll_when_told(self) -> None:
        while True:
            await self._roll.wait()
            self._roll.clear()
            log.info("rolling restart: replacing %d worker processes", len(self._places))
            for place in self._places:
                if not await self._replace(place):
                    break
            else:
                log.info("rolling restart: done")

    async def _replace(self, place: int) -> bool:
        """Start a successor, and only when it is ready have the old one drain."""
        async with self._filling[place]:
            new = await self._workers.start(place)
            if not await new.becomes_ready():
                log.error(
                    "rolling restart: ended, since worker process %d did not start: status %d; the old ones stay",
                    new.process.pid,
                    new.status,
                )
                return False
            old, self._present[place] = self._present[place], new
        await self._workers.dismiss(old)
        log.info("rolling restart: worker process %d follows %d", new.process.pid, old.process.pid)
        return True
