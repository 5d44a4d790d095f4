"""One provider's guard: places, circuit, attempts with a time limit, retries, metrics."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from typing import Any, Final, TypeVar

import attrs
from ragwork_hooks.errors import Problem, ProviderError
from ragwork_hooks.operations import Metrics
from ragwork_hooks.shares import Share, Shares
from ragwork_toolkit.background import BackgroundTasks

from ragwork_resilience.breaker import Breaker, CallPermit, CircuitOpen, Circuits
from ragwork_resilience.config import RetryPolicy
from ragwork_resilience.retry import UNAVAILABLE, RetriesExhausted, RetryBudget, exhausted, too_many, verdict

log = logging.getLogger(__name__)
T = TypeVar("T")

#: How much sooner than its caller's a nested call's time is up, so that the inner one says what was wrong:
#: this part of the time left, up to so many seconds.
_NESTED_PART: Final = 0.1
_NESTED_S: Final = 0.05
#: A call that still runs this long after it was cancelled ignores cancellation.
GRACE_S: Final = 1.0
#: When the guarded call that this code runs in must be over, in loop time.
_deadline: ContextVar[float] = ContextVar("ragwork_resilience_deadline")


@attrs.frozen(kw_only=True)
class AttemptPermit:
    """Leave for one attempt: a place among the calls to the provider and a ticket of the circuit."""

    place: Share
    circuit: Breaker
    call_permit: CallPermit


class Guard:
    """Guards the calls to one provider. ``service`` is its label in metrics and messages.

    Raises the provider's own ``ProviderError``, INTEGRATION_UNAVAILABLE (no answer in time, circuit open,
    an unforeseen failure) or SERVICE_BUSY (no place among the calls under way).
    """

    def __init__(
        self,
        service: str,
        policy: RetryPolicy,
        circuits: Circuits,
        metrics: Metrics,
        places: Shares,
        tasks: BackgroundTasks,
    ) -> None:
        self.service = service
        self.policy = policy
        self._circuits = circuits
        self._metrics = metrics
        self._places = places
        self._tasks = tasks

    @property
    def under_way(self) -> int:
        """Calls that hold a place; one that was given up holds it until it has really ended."""
        return self._places.held

    async def call(self, work: Callable[[], Coroutine[Any, Any, T]], account: str = "") -> T:
        """``await work()``, repeated as the policy allows. ``account`` is the tenant whose own
        credentials are used, "" for the operator's.
        """
        tries = self.begin()
        while True:
            attempt_permit = await self.admit(account, tries)
            try:
                return await self._attempt(work, attempt_permit, tries)
            except ProviderError as error:
                await self.pause(tries, error)

    def begin(self) -> RetryBudget:
        """The allowance of a call that starts now: never more than what its caller has left."""
        now = asyncio.get_running_loop().time()
        left = _deadline.get(float("inf")) - now
        left -= min(left * _NESTED_PART, _NESTED_S)
        return RetryBudget(self.policy, now + min(self.policy.budget_s, left))

    async def admit(self, account: str, tries: RetryBudget) -> AttemptPermit:
        """Leave for an attempt, after which ``tell`` is due. Raises ``RetriesExhausted``."""
        circuit = self._circuits.of(account)
        try:
            # Nobody waits for a place at a provider that is known to be away.
            circuit.refuse_if_open()
            place = await self._place(tries)
            try:
                return AttemptPermit(place=place, circuit=circuit, call_permit=await circuit.admit())
            except BaseException:
                place.release()
                raise
        except CircuitOpen as open_:
            if tries.last is not None:
                raise exhausted(tries.last) from tries.last
            raise RetriesExhausted(
                UNAVAILABLE, f"{self.service} is not asked: its last calls failed", open_.retry_after_s
            ) from open_

    async def _place(self, tries: RetryBudget) -> Share:
        try:
            async with asyncio.timeout_at(tries.deadline):
                return await self._places.take()
        except TimeoutError:
            raise too_many(f"too many calls to {self.service} are under way") from None

    async def pause(self, tries: RetryBudget, error: ProviderError) -> None:
        """Wait for the next attempt; raises what the caller gets when there is none."""
        wait = tries.pause(error, asyncio.get_running_loop().time())
        self._metrics.count(
            "integrations_provider_retries_total", "Repeated calls to a provider", service=self.service
        )
        await asyncio.sleep(wait)

    def start(self, work: Coroutine[Any, Any, T], deadline: float, place: Share) -> "asyncio.Task[T]":
        """``work`` as a task of its own, so that a caller never waits for one that can't be cancelled.

        The task holds ``place`` until its end. Calls within it are over before ``deadline``.
        """
        context = copy_context()
        context.run(_deadline.set, deadline)
        task = asyncio.create_task(work, name=f"call {self.service}", context=context)

        def ended(task: "asyncio.Task[T]") -> None:
            place.release()
            if not task.cancelled():
                task.exception()  # read, so that nobody is told about an outcome that nobody waits for

        task.add_done_callback(ended)
        return task

    def give_up(self, task: "asyncio.Task[Any]") -> None:
        """Cancel ``task`` without waiting for it; one that goes on regardless is counted."""
        task.cancel()
        asyncio.get_running_loop().call_later(GRACE_S, self._check_ended, task)

    def late(self, seconds: float) -> ProviderError:
        """The error of a provider that said nothing for ``seconds``."""
        return ProviderError(UNAVAILABLE, f"{self.service} was silent for {seconds:.3g} s", retryable=True)

    def failure(self, task: "asyncio.Task[Any]") -> Exception | None:
        """What the ended ``task`` raised, as an error of the contract."""
        if task.cancelled():
            return ProviderError(UNAVAILABLE, f"{self.service} cancelled its own call", retryable=True)
        error = task.exception()
        if error is None or isinstance(error, ProviderError | Problem):
            return error
        if isinstance(error, TimeoutError | ConnectionError):
            return ProviderError(UNAVAILABLE, f"{self.service} can't be reached", retryable=True)
        log.error("provider %s failed in an unforeseen way", self.service, exc_info=error)
        # Nobody knows what it is, so it is not repeated.
        unforeseen = RetriesExhausted(UNAVAILABLE, f"{self.service} failed in an unforeseen way")
        unforeseen.__cause__ = error
        return unforeseen

    def observe(self, seconds: float) -> None:
        """Count how long an attempt took, failed ones too; of a stream, until its first piece."""
        self._metrics.observe(
            "integrations_provider_latency_seconds",
            "Time of a provider's answer",
            seconds,
            service=self.service,
        )

    async def tell(self, attempt_permit: AttemptPermit, error: BaseException | None) -> None:
        """Report an attempt's outcome to the circuit. The shared store's own troubles end here."""
        circuit, call_permit = attempt_permit.circuit, attempt_permit.call_permit
        said = "answered" if error is None else verdict(error)
        try:
            if said == "failed":
                await circuit.failed(call_permit)
            elif error is None or (said == "answered" and call_permit.probe is not None):
                await circuit.passed(call_permit)
            else:
                await circuit.returned(call_permit)
        except Exception:
            log.warning("an outcome of %s could not be shared", self.service, exc_info=True)

    def tell_later(self, attempt_permit: AttemptPermit) -> None:
        """Report that nothing is known, from code that is being cancelled."""
        self._tasks.start(self.tell(attempt_permit, asyncio.CancelledError()), f"outcome of {self.service}")

    async def _attempt(
        self, work: Callable[[], Coroutine[Any, Any, T]], attempt_permit: AttemptPermit, tries: RetryBudget
    ) -> T:
        began = asyncio.get_running_loop().time()
        allowed = min(tries.deadline - began, self.policy.timeout_s)
        task = self.start(work(), began + allowed, attempt_permit.place)
        try:
            await asyncio.wait({task}, timeout=allowed)
        except asyncio.CancelledError:
            self.give_up(task)
            self.tell_later(attempt_permit)
            raise
        self.observe(asyncio.get_running_loop().time() - began)
        if task.done():
            error = self.failure(task)
        else:
            self.give_up(task)
            error = self.late(allowed)
        await self.tell(attempt_permit, error)
        if error is not None:
            raise error
        return task.result()

    def _check_ended(self, task: "asyncio.Task[Any]") -> None:
        if not task.done():
            log.warning("provider %s ignores cancellation; its call still runs", self.service)
            self._metrics.count(
                "integrations_provider_uncancelled_total",
                "Provider calls that went on after they were given up",
                service=self.service,
            )
