"""The provider ``rego`` of kind ``policy_engine``: decides in processes of this server, one engine per policy."""

import asyncio
import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final, TypeVar

import attrs
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.policy import Policy, PolicyDecision, PolicySourceError
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_hooks.shares import Shares
from ragwork_toolkit.background import BackgroundTasks
from ragwork_toolkit.rego.source_rules import PACKAGE, Module, judged, module
from ragwork_toolkit.rego.v0_syntax import modern

from ragwork_rego.config import RegoConfig
from ragwork_rego.worker_pool import MAX_KNOWN, Answer, WorkerPolicy, worker_pool

T = TypeVar("T")

MAX_QUESTION_BYTES: Final = 262_144
#: Seconds for which a policy that took too long is not tried again.
REFUSED_SECONDS: Final = 30.0
_MAX_REFUSED: Final = 10_000
#: Questions that may wait: more would not be answered within their time.
_MAX_WAITING: Final = 2_000
_LINES: Final = "ragwork_lines"


@attrs.frozen(kw_only=True)
class PreparedPolicy:
    """A policy by the name that a process knows it by, and its text or what is wrong with it."""

    key: str
    module: Module | None
    error: str = ""


class RegoEngine:
    """Implements ``ragwork_hooks.policy.PolicyEngine``."""

    def __init__(self, config: RegoConfig, places: Shares) -> None:
        self._config = config
        self._processes = worker_pool(places, config.cpu_ms / 1000, config.memory_mb * 1_048_576)
        self._ready: OrderedDict[tuple[str, str, int, str], PreparedPolicy] = OrderedDict()
        self._refused: dict[str, float] = {}
        self._tasks = BackgroundTasks()
        self._closed = False

    @property
    def name(self) -> str:
        return "rego"

    async def check(self, source: str) -> str:
        """See ``PolicyEngine.check``. v0 is tried when v1 fails; the error is that of the dialect meant."""
        source = source.replace("\r\n", "\n")
        judged(source)
        fault = await self._bounded(self._fault_of(source))
        if fault is None:
            return source
        rewritten = modern(source)
        if rewritten != source:
            fault = await self._bounded(self._fault_of(rewritten))
        if fault is None:
            return rewritten
        raise fault

    async def load(self, tenant_id: str, policies: Sequence[Policy]) -> None:
        """See ``PolicyEngine.load``: each process compiles them when it is first asked, this asks one."""
        await self.decide(tenant_id, policies, {})

    async def decide(
        self, tenant_id: str, policies: Sequence[Policy], question: Mapping[str, object]
    ) -> Sequence[PolicyDecision]:
        """See ``PolicyEngine.decide``. A policy that fails, takes too long or has an invalid text says no."""
        try:
            text = json.dumps(question, ensure_ascii=False, allow_nan=False)
        except ValueError:  # no number at all compares as nobody expects
            return [_no(policy, "The question holds a number that is not finite") for policy in policies]
        # Half a surrogate pair is no character: the interpreter ends over it.
        asked = text.encode("utf-8", "replace")
        if len(asked) > MAX_QUESTION_BYTES:
            return [_no(policy, "The question is too large to be judged") for policy in policies]
        return await self._bounded(self._decisions(tenant_id, policies, asked))

    async def aclose(self) -> None:
        """End the processes. What comes later is refused."""
        if not self._closed:
            self._closed = True
            await self._tasks.finish()
            await self._processes.close()

    async def _decisions(
        self, tenant_id: str, policies: Sequence[Policy], question: bytes
    ) -> Sequence[PolicyDecision]:
        ready = [self._prepared(tenant_id, policy) for policy in policies]
        modules = {
            each.key: (each.module.text, each.module.explained)
            for each in ready
            if each.module is not None and not self._is_refused(each.key)
        }
        answers = await self._answers(tenant_id, modules, question)
        return [
            _decision(policy, each, answers.get(each.key))
            for policy, each in zip(policies, ready, strict=True)
        ]

    def _prepared(self, tenant_id: str, policy: Policy) -> "PreparedPolicy":
        key = (tenant_id, policy.id, policy.revision, policy.source)
        if key not in self._ready:
            self._ready[key] = _prepare(key)
            if len(self._ready) > MAX_KNOWN:
                self._ready.popitem(last=False)
        self._ready.move_to_end(key)
        return self._ready[key]

    async def _answers(
        self, tenant_id: str, modules: Mapping[str, tuple[str, str | None]], question: bytes
    ) -> Mapping[str, Answer]:
        """One answer per module. Who ends its process over and over says no, the others are asked again.

        While others wait for a process, one policy is one turn, so that the slow ones of a tenant hold none.
        """
        answers: dict[str, Answer] = {}
        crashed: str | None = None
        while rest := [key for key in modules if key not in answers]:
            async with self._processes.one(tenant_id) as worker:
                turn = {key: modules[key] for key in (rest[:1] if self._processes.is_crowded else rest)}
                told = await worker.decide(turn, question)
            answers.update(zip(turn, told.answers, strict=False))
            if told.ending == "done":
                continue
            culprit = next(key for key in turn if key not in answers)
            if told.ending == "too slow" or culprit == crashed:
                self._refuse(culprit)
                answers[culprit] = {
                    "error": f"it took too long or too much memory ({told.ending})",
                    "line": 0,
                }
            crashed = culprit
        return answers

    async def _fault_of(self, source: str) -> PolicySourceError | None:
        text = module(source, PACKAGE, _LINES).text
        async with self._processes.one() as worker:
            told = await worker.check(text)
        return _fault(told)

    async def _bounded(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work`` within the time limit. A caller who leaves doesn't stop a process half way."""
        if self._closed:
            work.close()
            raise ProviderError("POLICY_ENGINE_UNAVAILABLE", "The policy engine is closed")
        return await asyncio.shield(self._tasks.start(self._limited(work), "policy decision"))

    async def _limited(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            async with asyncio.timeout(self._config.timeout_s):
                return await work
        except TimeoutError as error:
            raise ProviderError(
                "POLICY_ENGINE_UNAVAILABLE",
                f"The policy engine did not answer in {self._config.timeout_s} s",
                retryable=True,
                retry_after_s=1.0,
            ) from error

    def _is_refused(self, key: str) -> bool:
        until = self._refused.get(key)
        return until is not None and time.monotonic() < until

    def _refuse(self, key: str) -> None:
        now = time.monotonic()
        if len(self._refused) >= _MAX_REFUSED:
            self._refused = {each: until for each, until in self._refused.items() if until > now}
        self._refused[key] = now + REFUSED_SECONDS


def _prepare(key: tuple[str, str, int, str]) -> PreparedPolicy:
    """The text is part of the name: a decision is of exactly the text that was given."""
    name = hashlib.blake2b(json.dumps(key).encode(), digest_size=16).hexdigest()
    try:
        return PreparedPolicy(key=name, module=module(key[3], PACKAGE, _LINES))
    except PolicySourceError as error:
        return PreparedPolicy(key=name, module=None, error=error.message)


def _fault(told: WorkerPolicy) -> PolicySourceError | None:
    if not told.answers:
        return PolicySourceError("the policy takes too long or too much memory even without input")
    answer = told.answers[0]
    if "error" not in answer:
        return None
    return PolicySourceError(answer["error"], answer["line"], answer["column"])


def _decision(policy: Policy, ready: PreparedPolicy, answer: Answer | None) -> PolicyDecision:
    if answer is None:
        return _no(
            policy,
            "The policy took too long a moment ago"
            if ready.module
            else f"The policy is invalid: {ready.error}",
        )
    if "error" in answer:
        where = f" (line {answer['line']})" if answer["line"] else ""
        return _no(policy, f"The policy failed: {answer['error']}{where}", answer["line"] or None)
    if not answer["allowed"]:
        return _no(
            policy, "No rule allows this" if answer["is_boolean"] else "allow is neither true nor false"
        )
    line = answer["lines"][0] if answer["lines"] else None
    return PolicyDecision(
        policy_id=policy.id,
        revision=policy.revision,
        allowed=True,
        reason="Matched rule: allow" + (f" (line {line})" if line else ""),
        line=line,
    )


def _no(policy: Policy, reason: str, line: int | None = None) -> PolicyDecision:
    return PolicyDecision(
        policy_id=policy.id, revision=policy.revision, allowed=False, reason=reason, line=line
    )


async def open_engine(context: ProviderContext[RegoConfig]) -> RegoEngine:
    """Nothing is started before the first question.

    One process more than a single tenant may use: whoever comes second need not wait for the first's policies.
    """
    most = context.config.processes
    places = context.services.shares("workers", most + 1, waiting=_MAX_WAITING, refusal=_busy, most=most)
    return RegoEngine(context.config, places)


def _busy(said: str) -> ProviderError:
    return ProviderError("POLICY_ENGINE_UNAVAILABLE", said, retryable=True, retry_after_s=1.0)


provider: Final = Provider(name="rego", open=open_engine)
