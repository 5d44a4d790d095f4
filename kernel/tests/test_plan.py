"""The frozen plan refuses declarations that contradict themselves or each other."""

from typing import Any

import attrs
import pytest
from ragwork_hooks.authz import Action
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.http import AnyRoute
from ragwork_hooks.jobs import PeriodicTask
from ragwork_hooks.plugin import Contribution
from ragwork_hooks.services import Services
from ragwork_kernel.boot import contributions
from ragwork_kernel.boot.services import PluginServices
from serving import RoleGate, StepAdmit, public, route


async def handler(_call: Any) -> object:
    return None


def frozen(*routes: AnyRoute) -> contributions.Contributions:
    return contributions.freeze({"one": Contribution(routes=routes)}, ())


@pytest.mark.parametrize(
    ("declared", "fault"),
    [
        (route(handler, path="/things"), "must start with /v1/"),
        (route(handler, action=None), "needs an action"),
        (public(handler, action=Action(name="x.y")), "has no action"),
        (public(handler, transaction="read"), "can't open a tenant transaction"),
        (route(handler, scope="platform"), "platform=True"),
        (route(handler, resource=handler), "needs a transaction"),
        (route(handler, body_kind="json"), "takes no body"),
        (route(handler, stale_reads=True, transaction="write", rate_class="mutation"), "stale_reads"),
    ],
)
def test_a_contradictory_route_stops_the_boot_with_its_owner(declared: AnyRoute, fault: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s)'things.list' of one.*{fault}"):
        frozen(declared)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"path": "/v1/a/{x}"}, {"path": "/v1/a/{y}"}),
        ({"path": "/v1/a"}, {"path": "/v1/a"}),
        ({"path": "/v1/a", "name": "same"}, {"path": "/v1/b", "name": "same"}),
    ],
)
def test_two_routes_that_answer_the_same_call_stop_the_boot(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    both = {
        "one": Contribution(routes=(route(handler, **{"name": "a.get", **first}),)),
        "two": Contribution(routes=(route(handler, **{"name": "b.get", **second}),)),
    }
    with pytest.raises(ConfigError, match="both one and two"):
        contributions.freeze(both, ())


def test_one_path_may_have_several_methods() -> None:
    assert len(frozen(route(handler), route(handler, name="b.delete", method="DELETE")).routes) == 2


def test_a_route_misses_no_declaration() -> None:
    declared = route(handler)
    decisions = (
        "scope", "action", "rate_class", "idempotency", "audit_event", "feature", "stale_reads", "transaction",
        "response",
    )  # fmt: skip
    for name in decisions:
        said = {each: getattr(declared, each) for each in ("name", "method", "path", "summary", *decisions)}
        del said[name]
        with pytest.raises(TypeError, match=name):
            type(declared)(handler=handler, **said)


def test_admission_gates_stand_under_their_stage_in_the_operators_order() -> None:
    gates = (StepAdmit("rate", name="a"), StepAdmit("cost", name="b"), StepAdmit("rate", name="c"))
    made = contributions.freeze({"one": Contribution(admission_gates=gates)}, ("c",))
    assert {stage: [g.name for g in made.admission_gates[stage]] for stage in ("rate", "cost")} == {
        "rate": ["c", "a"], "cost": ["b"],
    }  # fmt: skip


def test_a_gate_of_an_unknown_stage_stops_the_boot() -> None:
    """Filtered out silently it would never be asked, and what it guards would be open."""
    with pytest.raises(ConfigError, match=r"one.*stage 'later'"):
        contributions.freeze({"one": Contribution(admission_gates=(StepAdmit("later"),))}, ())
    with pytest.raises(ConfigError, match=r"one.*stage 'later'"):
        contributions.freeze({"one": Contribution(gates=(RoleGate(stage="later"),))}, ())


def test_the_plan_does_not_change_when_its_sources_do() -> None:
    sources = {"one": Contribution(tickers=(PeriodicTask(name="t", every_s=1, run=handler),))}  # type: ignore[arg-type]
    made = contributions.freeze(sources, ())
    sources.clear()
    assert [t.name for t in made.tickers] == ["t"]


def test_every_tuple_of_a_contribution_is_collected_and_its_owner_named_when_it_holds_something_else() -> (
    None
):
    several = [f.name for f in attrs.fields(Contribution) if f.default == ()]
    assert several
    for field in several:
        wrong: dict[str, Any] = {field: 5}
        with pytest.raises(ConfigError, match=rf"plugin 'one'.*as {field}.*give a tuple"):
            contributions.freeze({"one": Contribution(**wrong)}, ())


def test_every_service_of_the_contract_is_a_plugin_s() -> None:
    there = {f.name for f in attrs.fields(PluginServices)} | set(vars(PluginServices))
    assert {name for name in vars(Services) if not name.startswith("_")} <= there
