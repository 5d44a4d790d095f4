"""What every authorization gate must do. Subclass ``GateContract``, supply ``make``, name your ``actions``."""

import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType
from typing import ClassVar, Final

import attrs
import pytest
from ragwork_hooks import authz
from ragwork_hooks.auth import Principal, Role

from ragwork_testkit.calling import check_loop_goes_on
from ragwork_testkit.contract_base import Contract
from ragwork_testkit.llm import HOSTILE_TEXTS
from ragwork_testkit.watched import watched


@attrs.frozen(kw_only=True)
class Readable:
    """A document as a scope sees it."""

    owner: str
    id: str = "d"
    readers: frozenset[str] = frozenset()
    labels: tuple[tuple[str, str], ...] = ()


_DOCUMENTS: Final = tuple(
    Readable(owner=owner, readers=frozenset(readers), labels=labels)
    for owner in ("ann", "bob")
    for readers in ((), ("user:ann",), ("tenant:t1",), ("role:admin", "group:g"))
    for labels in ((), (("level", "open"),), (("level", "secret"),))
)


_RELATIONS: Final[Mapping[str, Callable[[str, str], bool]]] = MappingProxyType(
    {
        "lt": operator.lt,
        "lte": operator.le,
        "gt": operator.gt,
        "gte": operator.ge,
        "starts_with": str.startswith,
        "contains": operator.contains,
    }
)


def admits(scope: authz.ReadScope, document: Readable) -> bool:
    """Whether ``scope`` reads ``document``: the algebra's meaning, in one place."""
    match scope:
        case authz.Everything():
            return True
        case authz.Nothing():
            return False
        case authz.ReadableBy(readers):
            return bool(readers & document.readers)
        case authz.OwnedBy(user_id):
            return document.owner == user_id
        case authz.IdIn(document_ids):
            return document.id in document_ids
        case authz.HasLabel(key):
            return any(k == key for k, _ in document.labels)
        case authz.LabelComparison(key, relation, value):
            return any(k == key and _RELATIONS[relation](v, value) for k, v in document.labels)
        case authz.LabelIn(key, values):
            return any(k == key and v in values for k, v in document.labels)
        case authz.AllOf(parts):
            return all(admits(part, document) for part in parts)
        case authz.AnyOf(parts):
            return any(admits(part, document) for part in parts)
        case authz.Not(part):
            return not admits(part, document)


def principals() -> Iterator[Principal]:
    """Every role, with and without the platform flag and groups."""
    for role in Role:
        for platform in (False, True):
            for groups in ((), ("g",)):
                yield Principal(
                    tenant_id="t1",
                    user_id="ann",
                    credential_id="k1",
                    kind="api_key",
                    role=role,
                    groups=frozenset(groups),
                    platform=platform,
                )


class GateContract(Contract):
    """The contract of an authorization gate that needs no database to judge; ``actions`` are those it is about."""

    actions: ClassVar[Collection[str]]

    def make(self) -> authz.Gate:
        raise NotImplementedError

    def test_it_has_a_name_and_a_stage(self) -> None:
        """A gate has a name and the stage "role" or "resource": set `name` and `stage`."""
        gate = watched(self.make())
        assert gate.name
        assert gate.stage in ("role", "resource")

    async def test_every_verdict_is_one_of_the_three_and_stays_the_same(self) -> None:
        """A verdict is Allow, Deny or Abstain, the same for the same question: return one of the three, and
        decide by the arguments alone.
        """
        gate = watched(self.make())
        resource = authz.Resource(kind="document", id="d1", tenant_id="t1", owner="bob")
        for principal in principals():
            for name in (*self.actions, "nobody.knows"):
                action = authz.Action(name=name)
                subject = None if gate.stage == "role" else resource
                first = await gate.decide(principal, action, subject, None)
                assert isinstance(first, authz.Allow | authz.Deny | authz.Abstain)
                assert await gate.decide(principal, action, subject, None) == first

    async def test_it_decides_something(self) -> None:
        """A gate decides something about its `actions`: name the actions that it is about on the test class,
        or let it deny.
        """
        gate = watched(self.make())
        resource = authz.Resource(kind="document", id="d1", tenant_id="t1", owner="bob")
        subject = None if gate.stage == "role" else resource
        verdicts = [
            await gate.decide(principal, authz.Action(name=name), subject, None)
            for principal in principals()
            for name in self.actions
        ]
        scopes = [
            await gate.narrow(p, authz.Action(name=n), authz.Everything())
            for p in principals()
            for n in self.actions
        ]
        assert any(not isinstance(verdict, authz.Abstain) for verdict in verdicts) or any(
            scope != authz.Everything() for scope in scopes
        ), "the gate abstains from everything that it says it is about"

    @pytest.mark.parametrize("hostile", HOSTILE_TEXTS, ids=range(len(HOSTILE_TEXTS)))
    async def test_hostile_names_are_names(self, hostile: str) -> None:
        """Any text is a name: compare names, never format, evaluate or parse them."""
        gate = watched(self.make())
        resource = authz.Resource(
            kind=hostile, id=hostile, tenant_id="t1", owner=hostile, labels={hostile: hostile}
        )
        subject = None if gate.stage == "role" else resource
        for principal in principals():
            strange = attrs.evolve(principal, user_id=hostile, groups=frozenset({hostile}))
            verdict = await gate.decide(strange, authz.Action(name=hostile), subject, None)
            assert isinstance(verdict, authz.Allow | authz.Deny | authz.Abstain)

    async def test_narrowing_never_widens(self) -> None:
        """Narrowing never widens: return the scope you were given, or `AllOf` of it and yours."""
        gate = watched(self.make())
        for principal in principals():
            given = (
                authz.Everything(),
                authz.Nothing(),
                authz.OwnedBy("ann"),
                authz.ReadableBy(authz.readers_of(principal)),
                authz.Not(authz.LabelIn("level", frozenset({"secret"}))),
            )
            for name in (*self.actions, "document.read"):
                for scope in given:
                    narrowed = await gate.narrow(principal, authz.Action(name=name), scope)
                    more = [d for d in _DOCUMENTS if admits(narrowed, d) and not admits(scope, d)]
                    assert not more, f"{scope} became {narrowed}"

    async def test_the_event_loop_goes_on_meanwhile(self) -> None:
        """Every request is judged by every gate, so one that blocks holds up all: judge by what is in memory,
        or by the transaction.
        """
        gate = watched(self.make())
        resource = authz.Resource(kind="document", id="d1", tenant_id="t1", owner="bob")
        subject = None if gate.stage == "role" else resource

        async def judged() -> None:
            for principal in principals():
                for name in self.actions:
                    await gate.decide(principal, authz.Action(name=name), subject, None)
                    await gate.narrow(principal, authz.Action(name=name), authz.Everything())

        await check_loop_goes_on(judged)
