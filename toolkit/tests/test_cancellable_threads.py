"""A call that nobody waits for any more gives its thread back at once, though it waits for a socket."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
from ragwork_hooks.shares import provider_busy
from ragwork_testkit.services import ProviderServices
from ragwork_toolkit.vendor.cancellable_threads import Call, CancellableThreads, shut_down


class Wire:
    """A connection over a real pair of sockets, to a service that says nothing by itself."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.holder: Call | None = None
        self.reads = threading.Event()

    def begin(self, call: Call) -> None:
        self.holder = call

    def cut(self, call: Call) -> None:
        if self.holder is call:
            shut_down(self.ours)

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()

    def read(self) -> bytes:
        self.reads.set()
        return self.ours.recv(16)

    async def waited_for(self) -> None:
        assert await asyncio.to_thread(self.reads.wait, 5)


@pytest.fixture
async def threads() -> AsyncIterator[CancellableThreads]:
    places = ProviderServices().shares("test", 1, waiting=1, refusal=provider_busy)
    threads = CancellableThreads("test", places)
    yield threads
    await threads.aclose()


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.close()


async def asked(threads: CancellableThreads, wire: Wire, done: list[str]) -> bytes:
    """A call of two steps."""

    def begin() -> None:
        threads.hold(wire)

    async with threads.call() as call:
        call.close_with(lambda: done.append("closed"))
        await call.run(begin)
        return await call.run(wire.read)


async def free(threads: CancellableThreads, within_s: float = 5.0) -> None:
    """Wait for the one place."""
    async with asyncio.timeout(within_s), threads.call():
        pass


async def test_a_cancelled_call_ends_its_thread_and_frees_its_place(
    threads: CancellableThreads, wire: Wire
) -> None:
    done: list[str] = []
    call = asyncio.create_task(asked(threads, wire, done))
    await wire.waited_for()
    with pytest.raises(TimeoutError):
        await free(threads, within_s=0.05)
    assert done == []
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await free(threads)
    assert done == ["closed"]


async def test_an_answer_arrives_and_the_place_is_free(threads: CancellableThreads, wire: Wire) -> None:
    done: list[str] = []
    call = asyncio.create_task(asked(threads, wire, done))
    await wire.waited_for()
    wire.theirs.send(b"answer")
    assert await call == b"answer"
    await free(threads)
    assert done == ["closed"]


async def test_closing_cuts_off_what_runs(threads: CancellableThreads, wire: Wire) -> None:
    call = asyncio.create_task(asked(threads, wire, []))
    await wire.waited_for()
    await threads.aclose()
    assert await call == b""


async def test_a_connection_that_was_dropped_or_serves_another_call_is_left_alone(
    threads: CancellableThreads, wire: Wire
) -> None:
    async with threads.call() as dropped:
        await dropped.run(lambda: (threads.hold(wire), threads.drop()))
    async with threads.call() as former:
        await former.run(lambda: threads.hold(wire))
    async with threads.call() as present:
        await present.run(lambda: threads.hold(wire))
        for over in (dropped, former):
            over.abort()
        wire.theirs.send(b"still here")
        assert await present.run(wire.read) == b"still here"


async def test_a_call_that_was_cut_off_begins_nothing_more(threads: CancellableThreads, wire: Wire) -> None:
    async with threads.call() as call:
        call.abort()
        with pytest.raises(ConnectionAbortedError):
            await call.run(lambda: threads.hold(wire))
    assert wire.holder is None


async def test_a_place_is_given_back_when_no_step_ran_and_when_one_failed(
    threads: CancellableThreads,
) -> None:
    for _ in range(3):
        await free(threads)
        with pytest.raises(ZeroDivisionError):
            async with threads.call() as call:
                await call.run(lambda: 1 / 0)
