"""The provider ``opa`` of kind ``policy_engine``: each policy is a package of its own in the agent.

The package's name is made of tenant, policy, revision and text, so what is found under it is exactly what was
asked for, and a policy can be replaced while others are being decided. Each module answers with its own revision:
an agent that has restarted empty, or was never told, shows by not answering it.
"""

import asyncio
import hashlib
import json
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

import attrs
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.policy import Policy, PolicyDecision, PolicySourceError
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_hooks.shares import Shares
from ragwork_toolkit.rego.source_rules import judged, module
from ragwork_toolkit.rego.v0_syntax import modern

from ragwork_opa.client import EvaluationError, OpaClient, unavailable
from ragwork_opa.config import OpaConfig

MAX_QUESTION_BYTES: Final = 262_144
#: Questions to the agent at once: more would wait for a connection while their time runs.
AT_ONCE: Final = 32
#: Questions that may wait for their turn: more would not be answered within their time.
MAX_WAITING: Final = 3_200
_ANSWER: Final = "ragwork_answer"
_LINES: Final = "ragwork_lines"


@attrs.frozen(kw_only=True)
class PolicyPath:
    """Where a policy lives in the agent: its package, the module's id and the path of its answer."""

    package: str

    @property
    def module_id(self) -> str:
        return self.package.replace(".", "/")

    @property
    def answer(self) -> str:
        return f"{self.module_id}/{_ANSWER}"


@attrs.frozen(eq=False)
class LoadedPolicy:
    """That the agent was told a policy once, and why it would not take it."""

    refusal: str | None


class OpaEngine:
    """Implements ``ragwork_hooks.policy.PolicyEngine``."""

    def __init__(self, client: OpaClient, max_modules: int, places: Shares) -> None:
        self._client = client
        self._max_modules = max_modules
        self._places = places
        # What the agent was told, oldest first.
        self._told: OrderedDict[str, LoadedPolicy] = OrderedDict()
        self._telling: dict[str, asyncio.Task[LoadedPolicy]] = {}

    @property
    def name(self) -> str:
        return "opa"

    async def check(self, source: str) -> str:
        """See ``PolicyEngine.check``: the agent compiles it under a name of its own and forgets it again."""
        source = source.replace("\r\n", "\n")
        judged(source)
        try:
            await self._try(source)
        except PolicySourceError:
            rewritten = modern(source)
            if rewritten == source:
                raise
            await self._try(rewritten)
            return rewritten
        return source

    async def load(self, tenant_id: str, policies: Sequence[Policy]) -> None:
        """See ``PolicyEngine.load``."""
        for policy in policies:
            await self._tell(_place(tenant_id, policy), policy)

    async def decide(
        self, tenant_id: str, policies: Sequence[Policy], question: Mapping[str, object]
    ) -> Sequence[PolicyDecision]:
        """See ``PolicyEngine.decide``. A policy that fails or has an invalid text says no."""
        try:
            text = json.dumps({"input": question}, ensure_ascii=False, allow_nan=False)
        except ValueError:  # no number at all compares as nobody expects
            return [_no(policy, "The question holds a number that is not finite") for policy in policies]
        # Half a surrogate pair is no character: agents differ in what they make of it.
        asked = text.encode("utf-8", "replace")
        if len(asked) > MAX_QUESTION_BYTES:
            return [_no(policy, "The question is too large to be judged") for policy in policies]

        async def one(policy: Policy) -> PolicyDecision:
            with await self._places.take(tenant=tenant_id):
                return await self._decision(_place(tenant_id, policy), policy, asked)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(policy)) for policy in policies]
        except ExceptionGroup as errors:
            raise _engine_error(errors) from errors
        return [task.result() for task in tasks]

    async def _decision(self, place: PolicyPath, policy: Policy, asked: bytes) -> PolicyDecision:
        told = await self._tell(place, policy)
        if told.refusal is not None:
            return _no(policy, f"The policy is invalid: {told.refusal}")
        try:
            answer = await self._client.data(place.answer, asked)
            if answer is None:  # it has restarted, or another process made room: once more, then give up
                self._forget(place, told)
                await self._tell(place, policy)
                answer = await self._client.data(place.answer, asked)
        except EvaluationError as error:
            return _no(policy, f"The policy failed: {error}")
        return _judged(policy, answer)

    async def _tell(self, place: PolicyPath, policy: Policy) -> LoadedPolicy:
        """Make the agent know the policy, once however many ask."""
        if place.package in self._told:
            self._told.move_to_end(place.package)
            return self._told[place.package]
        task = self._telling.get(place.package)
        if task is None:
            task = asyncio.create_task(self._put(place, policy))
            self._telling[place.package] = task
            task.add_done_callback(lambda ended: self._has_told(place, ended))
        return await asyncio.shield(task)

    def _has_told(self, place: PolicyPath, task: asyncio.Task[LoadedPolicy]) -> None:
        del self._telling[place.package]
        if not task.cancelled():
            task.exception()  # seen: its callers may have left

    def _forget(self, place: PolicyPath, told: LoadedPolicy) -> None:
        """Unless somebody has told it again since."""
        if self._told.get(place.package) is told:
            del self._told[place.package]

    async def _put(self, place: PolicyPath, policy: Policy) -> LoadedPolicy:
        refusal: str | None = None
        try:
            await self._put_text(place, policy.source, policy.revision)
        except PolicySourceError as error:
            refusal = error.message
        told = self._told[place.package] = LoadedPolicy(refusal)
        while len(self._told) > self._max_modules:
            oldest, _ = self._told.popitem(last=False)
            await self._client.delete(PolicyPath(package=oldest).module_id)
        return told

    async def _put_text(self, place: PolicyPath, source: str, revision: int) -> None:
        ready = module(source, place.package, _LINES)
        if ready.explained is not None:
            # Telling the line must never cost a decision: without it when the agent won't have it.
            with suppress(PolicySourceError):
                answer = _answer_rule(place.package, revision, with_lines=True)
                return await self._client.put(place.module_id, _complete(ready.explained, ready.head, answer))
        answer = _answer_rule(place.package, revision, with_lines=False)
        try:
            await self._client.put(place.module_id, _complete(ready.text, ready.head, answer))
        except PolicySourceError as error:
            # One line was added above the text.
            raise PolicySourceError(error.message, max(error.line - 1, 0), error.column) from error

    async def _try(self, source: str) -> None:
        place = PolicyPath(package=f"ragwork.check.c{secrets.token_hex(16)}")
        try:
            await self._put_text(place, source, 0)
        finally:
            with suppress(ProviderError):
                await self._client.delete(place.module_id)


def _place(tenant_id: str, policy: Policy) -> PolicyPath:
    """Digests only: no character of an id reaches a path or a package name."""
    whole = json.dumps([tenant_id, policy.id, policy.revision, policy.source])
    return PolicyPath(package=f"ragwork.policies.{_slug('t', tenant_id)}.{_slug('p', whole)}")


def _slug(prefix: str, text: str) -> str:
    return prefix + hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _complete(text: str, head: int, answer: str) -> str:
    """The dialect is named for agents older than 1.0, whose default is another."""
    return f"{text[:head]}\nimport rego.v1{text[head:]}\n{answer}\n"


def _answer_rule(package: str, revision: int, *, with_lines: bool) -> str:
    """A document that is always defined: what ``allow`` says, if anything, and for which revision."""
    lines = f"[line | some line in data.{package}.{_LINES}]" if with_lines else "[]"
    return (
        f'{_ANSWER} := {{"revision": {revision}, "allowed": [value | value := data.{package}.allow], '
        f'"lines": {lines}}}'
    )


def _judged(policy: Policy, answer: object) -> PolicyDecision:
    """Raises ``ProviderError`` for an answer that is not of this very revision."""
    if not isinstance(answer, dict) or answer.get("revision") != policy.revision:
        raise unavailable("The policy engine does not know the policy that it was told")
    allowed, lines = answer.get("allowed"), answer.get("lines")
    if not isinstance(allowed, list) or any(type(value) is not bool for value in allowed):
        return _no(policy, "allow is neither true nor false")
    if allowed != [True]:
        return _no(policy, "No rule allows this")
    line = min(lines) if isinstance(lines, list) and lines else None
    return PolicyDecision(
        policy_id=policy.id,
        revision=policy.revision,
        allowed=True,
        reason="Matched rule: allow" + (f" (line {line})" if line else ""),
        line=line,
    )


def _no(policy: Policy, reason: str) -> PolicyDecision:
    return PolicyDecision(policy_id=policy.id, revision=policy.revision, allowed=False, reason=reason)


def _engine_error(errors: ExceptionGroup) -> Exception:
    """The first of several: a caller is told one reason."""
    first = errors.exceptions[0]
    return _engine_error(first) if isinstance(first, ExceptionGroup) else first


async def open_engine(context: ProviderContext[OpaConfig]) -> OpaEngine:
    """Nothing is called before the first question."""
    client = OpaClient(context.services.egress, context.config)
    places = context.services.shares("questions", AT_ONCE, waiting=MAX_WAITING, refusal=unavailable)
    return OpaEngine(client, context.config.modules, places)


provider: Final = Provider(name="opa", open=open_engine)
