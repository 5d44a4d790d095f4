"""What every provider promises, whatever its kind: how it opens, what it does to the loop, how it ends, and what it
makes of a service in trouble. Bases of the kits of kinds.
"""

import asyncio
import os
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from types import MappingProxyType
from typing import Any, ClassVar, Final

import pytest
from ragwork_hooks.errors import ConfigError, ProviderError
from ragwork_hooks.provider_kinds import RETRIEVAL, ProviderKind

from ragwork_testkit.bad_service import ANSWERING, ENDLESS_BYTES, STAYING, BadService, Trouble, bad_service
from ragwork_testkit.calling import cancel, check_cancellation, check_loop_goes_on, check_stall
from ragwork_testkit.contract_base import Contract
from ragwork_testkit.entry_point import OPEN_S, EntryPoint, check_opened, entry_points
from ragwork_testkit.loop_watch import LoopWatch, watching_loop
from ragwork_testkit.promises import BrokenPromise
from ragwork_testkit.services import OpeningServices, opening_services
from ragwork_testkit.watched import translated, watched

_ROUNDS: Final = 5
#: Longest time in seconds for a call to a service that answers nonsense.
_ANSWER_S: Final = 10.0


class EntryPointContract(Contract):
    """How a provider is opened: by the entry point in the ``pyproject.toml`` above the test.

    ``settings`` holds the environment that the plugin needs for that, ``secrets`` its tenants' secrets by name.
    """

    kind: ClassVar[ProviderKind[Any]]
    settings: ClassVar[Mapping[str, str]] = MappingProxyType({})
    secrets: ClassVar[Mapping[str, str]] = MappingProxyType({})
    _services: OpeningServices

    @pytest.fixture(autouse=True)
    async def with_services(self) -> AsyncIterator[None]:
        async with opening_services(self.secrets) as self._services:
            yield

    async def test_its_entry_point_opens_it(self) -> None:
        """A provider opens by its entry point, in time and under its name: make `open` give the provider that
        the entry point names.
        """
        for point in entry_points(type(self), self.kind):
            with suppress(ProviderError, ConfigError):  # it may want settings that a kit doesn't have
                watches = [await self._open_and_close(point) for _ in range(2)]
                check_stall(min(watches, key=lambda watch: watch.worst), "open()")

    async def _open(self, point: EntryPoint, reaching: Mapping[str, str] | None = None) -> Any:
        environ = {**point.credentials(), **self.settings, **(reaching or {})}
        return await point.open(self._services, environ)

    async def _open_and_close(self, point: EntryPoint) -> LoopWatch:
        async with watching_loop() as watch:
            opened = await self._open(point)
        name = getattr(opened, "name", point.name)
        if name != point.name and self.kind.name != RETRIEVAL.name:
            raise BrokenPromise(
                "a provider has the name of its entry point",
                f"set `name = {point.name!r}`: errors, metrics and bindings go by it",
                repr(name),
            )
        await _close(watched(opened))
        return watch


class ProviderContract(EntryPointContract):
    """Base of the kits of kinds that a test calls by itself.

    ``reads_all_because`` excuses a provider whose vendor's client can't be given a bound for an answer: the reason.
    """

    reads_all_because: ClassVar[str] = ""

    async def make(self) -> Any:
        """A fresh provider, opened by the entry point. Override it to make yours in another way."""
        points = entry_points(type(self), self.kind)
        if not points:
            raise BrokenPromise(
                f"the package offers a provider of kind {self.kind.name}",
                f'declare it in pyproject.toml below [project.entry-points."ragwork.{self.kind.name}"]',
            )
        try:
            return await self._open(points[0])
        except (ProviderError, ConfigError) as error:
            raise BrokenPromise(
                "the kit can open the provider",
                "give what it needs as `settings = {…}` of the test class, by environment names",
                str(error),
            ) from error

    async def test_the_event_loop_goes_on_meanwhile(self) -> None:
        """Every other request waits while a call blocks the event loop: await an asynchronous client, or move
        the work to a thread with `asyncio.to_thread`.
        """
        async with self._live() as made:
            await check_loop_goes_on(lambda: self._use(made))

    async def test_a_cancelled_call_ends_as_cancelled(self) -> None:
        """A caller that leaves ends the call: let CancelledError pass, and stop in `finally` what the call
        started.
        """
        async with self._live() as made:
            await check_cancellation(lambda: self._use(made))
            await self._use(made)

    async def test_closing_leaves_nothing_behind(self) -> None:
        """What a provider opens it closes in `aclose`: cancel and await its tasks, join its threads, close its
        clients.
        """
        standing = []
        for _ in range(_ROUNDS):
            async with self._live() as made:
                await self._use(made)
            await asyncio.sleep(0.02)
            standing.append(_standing())
        for what in ("tasks", "threads", "sockets"):
            counts = [len(each[what]) for each in standing[1:]]
            if all(after > before for before, after in pairwise(counts)):
                grown = sorted(Counter(standing[-1][what]) - Counter(standing[1][what]))
                raise BrokenPromise(
                    f"aclose() ends the {what} that the provider started",
                    "keep hold of them, and in `aclose` cancel and await tasks, join threads, close clients",
                    f"with every provider opened and closed there are more: {counts}, as {grown[0]}",
                )

    @pytest.mark.parametrize("trouble", ANSWERING)
    async def test_a_service_in_trouble_is_a_provider_error(self, trouble: Trouble) -> None:
        """A service that fails ends the call with a ProviderError, in time: catch what the client raises, and
        raise ProviderError with a code and a sentence.
        """
        await self._over(trouble, self._ends)

    @pytest.mark.parametrize("trouble", STAYING)
    async def test_a_silent_service_holds_up_nobody(self, trouble: Trouble) -> None:
        """While a service is silent the loop goes on, and a caller that leaves ends the request: use a client
        whose request is cancelled with its caller.
        """
        await self._over(trouble, self._leave)

    async def test_an_answer_without_an_end_is_not_read_to_its_end(self) -> None:
        """An answer is read up to a bound: stop at a size that no true answer has, and raise ProviderError."""
        if self.reads_all_because:
            pytest.xfail(self.reads_all_because)
        await self._over("endless", self._stops)

    async def _use(self, made: Any, root: str = "") -> object:
        """One ordinary call; ``root`` is the address of a service in trouble."""
        raise NotImplementedError

    def _reaching(self, point: EntryPoint, root: str) -> Mapping[str, str] | None:
        """The settings that lead to a service at ``root``; ``None`` when the provider knows of no service."""
        return point.at(root) or None

    @asynccontextmanager
    async def _live(self) -> AsyncIterator[Any]:
        """A provider of ``make``, watched, and closed."""
        made = await self._made()
        try:
            yield made
        finally:
            await _close(made)

    async def _made(self) -> Any:
        """What ``make`` gives, watched. One that could not be opened once is not waited for again."""
        failure: BrokenPromise | None = vars(type(self)).get("_unopenable")
        if failure is not None:
            raise failure
        try:
            async with asyncio.timeout(OPEN_S + 5):
                with translated("make()"):
                    made = await self.make()
            check_opened(self.kind, made, "make()")
        except BrokenPromise as error:
            type(self)._unopenable = error  # type: ignore[attr-defined]
            raise
        return watched(made)

    async def _over(self, trouble: Trouble, check: Callable[[Any, BadService], Awaitable[None]]) -> None:
        """Check each provider of the package over a service in ``trouble``: none that knows of no service, or that
        refuses to open over this one.
        """
        for point in entry_points(type(self), self.kind):
            if self._reaching(point, "") is None:
                continue
            with bad_service(trouble) as service:
                with suppress(ProviderError, ConfigError):
                    made = watched(await self._open(point, self._reaching(point, service.url)))
                    try:
                        await check(made, service)
                    finally:
                        await _close(made)

    async def _stops(self, made: Any, service: BadService) -> None:
        task = asyncio.ensure_future(self._use(made, service.url))
        await asyncio.wait({task}, timeout=_ANSWER_S)
        await cancel(task)
        assert service.sent < ENDLESS_BYTES, f"{service.sent} bytes were read"

    async def _ends(self, made: Any, service: BadService) -> None:
        with suppress(ProviderError):
            try:
                async with asyncio.timeout(_ANSWER_S):
                    await self._use(made, service.url)
            except TimeoutError as error:
                raise BrokenPromise(
                    f"a call to a service that {service.trouble} ends within {_ANSWER_S:g} s",
                    "don't retry, the platform does; raise ProviderError with `retryable=True`",
                ) from error

    async def _leave(self, made: Any, service: BadService) -> None:
        freeing = threading.Timer(1.5, service.hang_up)  # a blocked loop can't do it
        freeing.start()
        try:
            async with watching_loop() as watch:
                task = asyncio.ensure_future(self._use(made, service.url))
                await asyncio.wait({task}, timeout=0.3)
            if watch.worst > 0.5:
                check_stall(watch, "a call to a silent service")
            await cancel(task)
        finally:
            freeing.cancel()
        for _ in range(100):
            if not service.open_calls:
                return
            await asyncio.sleep(0.01)
        raise BrokenPromise(
            "the request to the service ends when its caller leaves",
            "cancel the call in `finally`; a thread goes on, so close its connection or use an asynchronous client",
        )


async def _close(made: Any) -> None:
    close = getattr(made, "aclose", None)
    if close is not None:
        await close()


def _standing() -> dict[str, list[str]]:
    """The tasks, threads and sockets of this process. Threads of the loop's own pool are not the provider's."""
    tasks = [getattr(task.get_coro(), "__qualname__", task.get_name()) for task in asyncio.all_tasks()]
    threads = [t.name for t in threading.enumerate() if not t.name.startswith("asyncio_")]
    return {"tasks": tasks, "threads": threads, "sockets": _sockets()}


def _sockets() -> list[str]:
    found = []
    with suppress(OSError):  # a system without /proc tells nothing
        for number in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                target = os.readlink(f"/proc/self/fd/{number}")
                if target.startswith("socket:"):
                    found.append(target)
    return found
