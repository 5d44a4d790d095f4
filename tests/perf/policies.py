"""How long a policy decision takes: ``python tests/perf/policies.py [--policies 200]``.

A document read is judged, and what may be read is narrowed, under policies of mixed shape of which all are
about documents. Prints JSON: microseconds at p50 and p99.
"""

import argparse
import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from ragwork_abac.config import AbacConfig
from ragwork_abac.gate import DocumentGate
from ragwork_abac.policies import AbacPolicy, PolicySet
from ragwork_hooks.auth import Principal, Role
from ragwork_hooks.authz import Action, Everything, Resource

READ = Action(name="document.read")
ROUNDS = 20_000


class Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class Rules:
    def __init__(self, policies: list[AbacPolicy]) -> None:
        self._rules = PolicySet.of("t", policies)

    async def in_force(self, tenant_id: str) -> PolicySet:
        return self._rules


def policies(number: int) -> list[AbacPolicy]:
    """Half deny, half allow; none decides before the last, so that every one is asked."""
    rng = random.Random(1)
    label = {"var": "resource.labels.level"}
    shapes: list[Callable[[int], dict[str, object]]] = [
        lambda n: {"eq": [label, f"secret-{n}"]},
        lambda n: {"in": [label, [f"x{n}", f"y{n}", "z"]]},
        lambda n: {"all": [{"eq": [{"var": "principal.role"}, "reader"]}, {"eq": [label, f"s{n}"]}]},
        lambda n: {
            "any": [{"contains": [{"var": "principal.groups"}, f"g{n}"]}, {"starts_with": [label, "q"]}]
        },
        lambda n: {
            "all": [
                {"time_between": [{"var": "request.time"}, {"start": "00:00", "end": "23:59:59"}]},
                {"eq": [{"var": "principal.id"}, f"u{n}"]},
            ]
        },
    ]
    return [
        AbacPolicy(
            id=f"p{n:04}", tenant_id="t", name=f"p{n}", version=1, effect="deny" if n % 2 else "allow",
            resource_type="document", action="read", condition=rng.choice(shapes)(n), priority=100, enabled=True,
        )
        for n in range(number)
    ]  # fmt: skip


async def measured(work: Callable[[], Awaitable[object]]) -> dict[str, float]:
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        await work()
        times.append(time.perf_counter() - started)
    times.sort()
    return {"p50_us": round(times[ROUNDS // 2] * 1e6, 1), "p99_us": round(times[ROUNDS * 99 // 100] * 1e6, 1)}


async def main(number: int) -> None:
    gate = DocumentGate(Rules(policies(number)), Clock(), AbacConfig())
    principal = Principal(
        tenant_id="t",
        user_id="ann",
        credential_id="k",
        kind="api_key",
        role=Role.EDITOR,
        groups=frozenset({"a", "b"}),
    )
    document = Resource(
        kind="document",
        id="d",
        tenant_id="t",
        owner="ann",
        labels={"level": "open"},
        permissions=frozenset({"read"}),
    )
    judged = await measured(lambda: gate.decide(principal, READ, document, None))
    narrowed = await measured(lambda: gate.narrow(principal, READ, Everything()))
    print(json.dumps({"policies": number, "judge": judged, "narrow": narrowed}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policies", type=int, default=200)
    asyncio.run(main(parser.parse_args().policies))
