"""The contract of a policy engine, as tests to subclass.

    class TestMyEngine(PolicyEngineContract):
        @asynccontextmanager
        async def opened(self) -> AsyncIterator[PolicyEngine]:
            yield MyEngine()

Each test gets a new engine. ``unplug`` and ``endless`` tell how to take it away and how to make it slow.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import pytest
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.policy import Policy, PolicyDecision, PolicyEngine, PolicySourceError
from ragwork_hooks.provider_kinds import POLICY_ENGINE

from ragwork_testkit.contract import ProviderContract
from ragwork_testkit.policy_texts import (
    HEAD,
    HOSTILE_IDS,
    NEW_TEXTS,
    NOT_TRUE,
    OLD_TEXTS,
    REACHING_TEXTS,
    READ,
    READERS,
    WRITE,
    WRONG_PACKAGES,
    WRONG_TEXTS,
)
from ragwork_testkit.policy_texts import LOOP as LOOP
from ragwork_testkit.watched import bare, watched

#: Longest a question to an engine that is away or a policy without end may take, in seconds.
MAX_WAIT: Final = 8.0
UNAVAILABLE: Final = "POLICY_ENGINE_UNAVAILABLE"


def allowing(action: str) -> str:
    """A policy that allows one action."""
    return HEAD + f'allow if input.action == "{action}"\n'


def policy(source: str, policy_id: str = "p1", revision: int = 1) -> Policy:
    return Policy(id=policy_id, revision=revision, source=source)


class PolicyEngineContract(ProviderContract):
    """Tests that every ``PolicyEngine`` passes."""

    kind = POLICY_ENGINE

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[PolicyEngine]:
        """A new engine, closed when the block is left."""
        engine: PolicyEngine = await super().make()
        try:
            yield engine
        finally:
            close = getattr(engine, "aclose", None)
            if close is not None:
                await close()

    async def unplug(self, engine: PolicyEngine) -> None:
        """Take away what the engine needs to decide."""
        raise NotImplementedError

    async def endless(self, engine: PolicyEngine) -> str:
        """A policy that is not decided in time by ``engine``, which may be changed to bring that about."""
        raise NotImplementedError

    @pytest.fixture
    async def engine(self) -> AsyncIterator[PolicyEngine]:
        async with self._live() as engine:
            yield engine

    @asynccontextmanager
    async def _live(self) -> AsyncIterator[PolicyEngine]:
        async with self.opened() as engine:
            yield watched(engine)

    async def _use(self, made: PolicyEngine, root: str = "") -> object:
        return await made.decide("t1", [policy(READERS)], READ)

    async def test_a_rule_that_holds_allows_and_names_its_line(self, engine: PolicyEngine) -> None:
        """A rule that holds allows and names its line: report where `allow` became true, in `line` and
        `reason`.
        """
        source = await engine.check(READERS)
        (decision,) = await engine.decide("t1", [policy(source)], READ)
        assert (decision.allowed, decision.policy_id, decision.revision) == (True, "p1", 1)
        assert decision.line == 5
        assert "5" in decision.reason

    async def test_the_line_is_that_of_the_rule_that_held(self, engine: PolicyEngine) -> None:
        """The line is that of the rule that held: trace the evaluation, do not search the text."""
        source = (
            HEAD
            + 'allow if input.action == "a"\n\nallow if {\n\tinput.action == "b"\n}\n\nallow := true if\n'
        )
        source += '\tinput.action == "c"\n'
        decided = [await _one(engine, source, {"action": action}) for action in ("a", "b", "c", "d")]
        assert [(each.allowed, each.line) for each in decided] == [
            (True, 5), (True, 7), (True, 11), (False, None),
        ]  # fmt: skip

    async def test_what_no_rule_allows_is_denied(self, engine: PolicyEngine) -> None:
        """What no rule allows is denied: take an undefined `allow` for a no."""
        for question in (WRITE, {}, {"action": "db:read"}, {"action": None, "subject": None}):
            assert not await _allows(engine, READERS, question), question

    async def test_a_policy_without_a_rule_denies(self, engine: PolicyEngine) -> None:
        """A policy without a rule denies: take an undefined `allow` for a no."""
        for body in ("", "# nothing\n", "allowed := true\n", "default allow := false\n"):
            assert not await _allows(engine, f"package oculus.authz\n{body}", READ), body

    @pytest.mark.parametrize("value", NOT_TRUE)
    async def test_anything_but_true_denies(self, engine: PolicyEngine, value: str) -> None:
        """Anything but a plain true denies: compare with `is True`, not for truth."""
        assert not await _allows(engine, f"package oculus.authz\nallow := {value}\n", READ)

    async def test_a_set_or_function_named_allow_denies(self, engine: PolicyEngine) -> None:
        """A set or function named allow denies: compare its value with `is True`."""
        for body in ("allow contains true\n", "allow(x) if x\n", "allow[x] if x := 1\n", "allow.a := true\n"):
            assert not await _allows(engine, f"package oculus.authz\n{body}", READ), body

    async def test_rules_that_contradict_each_other_deny(self, engine: PolicyEngine) -> None:
        """Rules that contradict each other deny: take the engine's conflict error for a no of this policy."""
        source = "package oculus.authz\nallow := true if input.a\nallow := false if input.b\n"
        assert await _allows(engine, source, {"a": 1})
        assert not await _allows(engine, source, {"a": 1, "b": 1})

    async def test_no_policies_give_no_decisions(self, engine: PolicyEngine) -> None:
        """No policies give no decisions: return `[]`."""
        assert list(await engine.decide("t1", [], READ)) == []

    async def test_each_policy_is_judged_alone_and_answers_in_order(self, engine: PolicyEngine) -> None:
        """Each policy is judged alone, and decisions come in the order asked: evaluate one module per policy,
        return one decision for each.
        """
        policies = [policy(allowing(f"a{n}"), f"p{n}", n + 1) for n in range(12)]
        for n in (0, 5, 11):
            decided = await engine.decide("t1", policies, {"action": f"a{n}"})
            assert [each.policy_id for each in decided] == [each.id for each in policies]
            assert [each.revision for each in decided] == [each.revision for each in policies]
            assert [each.allowed for each in decided] == [m == n for m in range(12)]

    async def test_a_broken_policy_denies_and_leaves_the_others_alone(self, engine: PolicyEngine) -> None:
        """A broken policy denies and leaves the others alone: catch its error, and go on with the next."""
        policies = [
            policy(READERS, "a"),
            policy("package oculus.authz\nallow if {", "b"),
            policy(READERS, "c"),
        ]
        for _ in range(2):
            decided = await engine.decide("t1", policies, READ)
            assert [each.allowed for each in decided] == [True, False, True]
            assert decided[1].reason != decided[0].reason

    async def test_the_same_id_of_two_tenants_is_two_policies(self, engine: PolicyEngine) -> None:
        """The same id of two tenants is two policies: key what you keep by tenant, id and revision."""
        (one,) = await engine.decide("t1", [policy(allowing("a"))], {"action": "a"})
        (other,) = await engine.decide("t2", [policy(allowing("b"))], {"action": "a"})
        (again,) = await engine.decide("t1", [policy(allowing("a"))], {"action": "a"})
        assert [one.allowed, other.allowed, again.allowed] == [True, False, True]

    async def test_a_loaded_policy_decides(self, engine: PolicyEngine) -> None:
        """A loaded policy decides: let `decide` find what `load` brought."""
        policies = [policy(allowing(f"a{n}"), f"p{n}") for n in range(5)]
        await engine.load("t1", policies)
        decided = await engine.decide("t1", policies, {"action": "a3"})
        assert [each.allowed for each in decided] == [False, False, False, True, False]

    async def test_a_changed_policy_decides_as_changed_and_the_former_as_before(
        self, engine: PolicyEngine
    ) -> None:
        """Each revision decides as its own text: key what you keep by id and revision."""
        first, second = policy(allowing("a")), policy(allowing("b"), revision=2)
        await engine.load("t1", [first])
        assert [each.allowed for each in await engine.decide("t1", [first], {"action": "a"})] == [True]
        await engine.load("t1", [second])
        for _ in range(2):
            decided = await engine.decide("t1", [second, first], {"action": "a"})
            assert [(each.revision, each.allowed) for each in decided] == [(2, False), (1, True)]

    async def test_a_thousand_decisions_are_each_of_one_revision(self, engine: PolicyEngine) -> None:
        """Decisions at once are each of the revision asked for: never replace a module that another call is
        using.
        """
        revisions = [policy(allowing(f"a{n}"), revision=n) for n in range(1, 5)]

        async def ask(n: int) -> None:
            asked = revisions[n % 4]
            action = f"a{n // 4 % 4 + 1}"
            (decision,) = await engine.decide("t1", [asked], {"action": action})
            assert decision.revision == asked.revision
            assert decision.allowed == (action == f"a{asked.revision}"), (n, decision)

        # A hundred at once: an engine behind a connection has a time limit for each.
        for start in range(0, 1000, 100):
            async with asyncio.TaskGroup() as group:
                for n in range(start, start + 100):
                    group.create_task(ask(n))

    @pytest.mark.parametrize("identifier", HOSTILE_IDS, ids=range(len(HOSTILE_IDS)))
    async def test_hostile_ids_are_ids(self, engine: PolicyEngine, identifier: str) -> None:
        """Any text is an id: make module names by hashing ids, never by joining them."""
        mine, other = policy(allowing("a"), identifier), policy(allowing("b"), "other")
        decided = await engine.decide(identifier, [mine, other], {"action": "a"})
        assert [each.allowed for each in decided] == [True, False]
        assert decided[0].policy_id == identifier

    @pytest.mark.parametrize("old", OLD_TEXTS.values(), ids=OLD_TEXTS.keys())
    async def test_a_v0_policy_is_made_new_line_for_line(self, engine: PolicyEngine, old: str) -> None:
        """An older dialect is made new line for line: rewrite in place, so that errors keep their lines."""
        source = await engine.check(f"package oculus.authz\n\n{old}\n")
        assert len(source.splitlines()) == len(old.splitlines()) + 2
        assert await _allows(engine, source, READ)
        assert not await _allows(engine, source, {"action": "db:write", "subject": {"tags": []}}) or (
            "input.action in [input.action]" in old
        )
        assert await engine.check(source) == source

    @pytest.mark.parametrize("new", NEW_TEXTS.values(), ids=NEW_TEXTS.keys())
    async def test_a_v1_policy_is_taken_as_it_is(self, engine: PolicyEngine, new: str) -> None:
        """A policy in the current dialect is taken as it is: return the text unchanged."""
        source = f"package oculus.authz\n\n{new}\n"
        assert await engine.check(source) == source
        assert await _allows(engine, source, READ)
        assert not await _allows(engine, source, {"action": "db:write", "subject": {"tags": []}})

    async def test_line_ends_of_another_system_are_taken(self, engine: PolicyEngine) -> None:
        """Line ends of another system are taken: make CRLF a line feed before parsing."""
        source = await engine.check(READERS.replace("\n", "\r\n"))
        assert await _allows(engine, source, READ)

    async def test_a_comment_before_the_package_is_taken(self, engine: PolicyEngine) -> None:
        """A comment before the package is taken: parse the package, do not match the first line."""
        source = await engine.check("# package other\n" + READERS.replace("authz\n", "authz # ours\n", 1))
        assert await _allows(engine, source, READ)

    @pytest.mark.parametrize("wrong", WRONG_TEXTS.values(), ids=WRONG_TEXTS.keys())
    async def test_a_wrong_text_is_refused_with_its_place(
        self, engine: PolicyEngine, wrong: tuple[str, int, int]
    ) -> None:
        """A wrong text is refused with its place: raise PolicySourceError with message, line and column, from
        1.
        """
        text, line, column = wrong
        with pytest.raises(PolicySourceError) as caught:
            await engine.check("package oculus.authz\n" + text)
        assert caught.value.message
        assert caught.value.line == (line or caught.value.line) > 0
        assert caught.value.column == (column or caught.value.column) > 0

    @pytest.mark.parametrize("text", REACHING_TEXTS.values(), ids=REACHING_TEXTS.keys())
    async def test_a_policy_that_reaches_out_is_refused_and_denies(
        self, engine: PolicyEngine, text: str
    ) -> None:
        """A policy that reaches beyond its input is refused and denies: forbid network, environment and
        foreign data when it is compiled.
        """
        source = f"package oculus.authz\n\n{text}\n"
        with pytest.raises(PolicySourceError) as caught:
            await engine.check(source)
        assert caught.value.line >= 3
        assert not await _allows(engine, source, READ)

    @pytest.mark.parametrize("source", WRONG_PACKAGES.values(), ids=WRONG_PACKAGES.keys())
    async def test_another_package_is_refused_and_denies(self, engine: PolicyEngine, source: str) -> None:
        """Another package than oculus.authz is refused and denies: check the parsed package, and name the
        right one in the error.
        """
        with pytest.raises(PolicySourceError, match=r"oculus\.authz"):
            await engine.check(source)
        assert not await _allows(engine, source, READ)

    async def test_a_field_called_data_is_a_field(self, engine: PolicyEngine) -> None:
        """A field called data is a field: judge references by the parsed tree, not by the text."""
        source = await engine.check('package oculus.authz\n\nallow if input.data.http.url == "data.x"\n')
        assert await _allows(engine, source, {"data": {"http": {"url": "data.x"}}})

    async def test_a_huge_policy_is_refused_and_denies(self, engine: PolicyEngine) -> None:
        """A huge policy is refused and denies: bound the text before it is parsed."""
        source = READERS + "# more\n" * 20_000
        with pytest.raises(PolicySourceError):
            await engine.check(source)
        assert not await _allows(engine, source, READ)

    async def test_a_huge_question_denies(self, engine: PolicyEngine) -> None:
        """A huge question denies: bound the input before it is evaluated."""
        assert not await _allows(engine, READERS, {**READ, "more": "x" * 1_000_000})

    @pytest.mark.parametrize("number", [float("nan"), float("inf")])
    async def test_a_number_that_is_none_denies(self, engine: PolicyEngine, number: float) -> None:
        """A number that JSON does not have denies: check the question for NaN and infinity first."""
        source = HEAD + "allow if not input.amount > 100\n"
        assert await _allows(engine, source, {"amount": 99})
        assert not await _allows(engine, source, {"amount": number})

    @pytest.mark.parametrize("depth", [100, 20_000])
    async def test_a_deeply_nested_policy_is_refused(self, engine: PolicyEngine, depth: int) -> None:
        """A deeply nested policy is refused: bound the depth before it is parsed."""
        with pytest.raises(PolicySourceError):
            await engine.check(f"package oculus.authz\nallow if {'[' * depth}1{']' * depth} == {'(' * depth}")
        assert await _allows(engine, READERS, READ)

    async def test_an_endless_policy_ends_and_never_allows(self, engine: PolicyEngine) -> None:
        """An endless policy ends and never allows: bound the evaluation in time, and raise or deny when it is
        over.
        """
        source = await self.endless(bare(engine))
        start = time.monotonic()
        ended: bool | str
        try:
            ended = await _allows(engine, source, {"n": 1})
        except ProviderError as error:
            ended = error.code
        assert ended in (False, UNAVAILABLE)
        assert time.monotonic() - start < MAX_WAIT

    async def test_without_what_it_needs_it_says_so_and_decides_nothing(self, engine: PolicyEngine) -> None:
        """An engine that is away raises POLICY_ENGINE_UNAVAILABLE and decides nothing: raise ProviderError
        with that code from every call.
        """
        assert await _allows(engine, READERS, READ)
        await self.unplug(bare(engine))
        start = time.monotonic()
        for source in (READERS, allowing("db:read")):
            with pytest.raises(ProviderError) as caught:
                await _allows(engine, source, READ)
            assert caught.value.code == UNAVAILABLE
        with pytest.raises(ProviderError) as caught:
            await engine.check(READERS)
        assert caught.value.code == UNAVAILABLE
        assert time.monotonic() - start < MAX_WAIT

    async def test_callers_who_leave_harm_nobody(self, engine: PolicyEngine) -> None:
        """Callers who leave harm nobody: let CancelledError pass, and keep what others share out of it."""
        tasks = [asyncio.create_task(_allows(engine, READERS, READ)) for _ in range(40)]
        await asyncio.sleep(0.005)
        for task in tasks[::2]:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(each is True for each in ended[1::2])
        assert await _allows(engine, READERS, READ)

    async def test_prints_and_unpaired_surrogates_do_no_harm(self, engine: PolicyEngine) -> None:
        """Prints and ill-formed text do no harm: keep the engine's output away, and replace what can't be
        encoded.
        """
        source = await engine.check(
            HEAD + 'allow if {\n\tprint(input.text)\n\tinput.action == "db:read"\n}\n'
        )
        assert await _allows(engine, source, {"action": "db:read", "text": "plain\nlines"})
        assert await _allows(
            engine, source, {"action": "db:read", "text": "\ud800", "\udfff": [float("1e308")]}
        )
        assert await _allows(engine, READERS, READ)


async def _one(engine: PolicyEngine, source: str, question: Mapping[str, object]) -> PolicyDecision:
    decided: Sequence[PolicyDecision] = await engine.decide("t1", [policy(source)], question)
    (decision,) = decided
    return decision


async def _allows(engine: PolicyEngine, source: str, question: Mapping[str, object]) -> bool:
    return (await _one(engine, source, question)).allowed
