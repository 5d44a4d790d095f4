"""Decisions on one request: which gate was asked at which stage, what it said and how long it took."""

import time
from collections.abc import Mapping

import attrs
from ragwork_hooks.authz import Decision, Deny
from ragwork_hooks.events import DecisionStep


@attrs.define
class DecisionLog:
    """Observers read ``steps`` at the end; the audit log reads ``stage`` and ``denial`` of a refusal."""

    #: Where the request stands.
    stage: str = "address"
    #: What gates said, in the order in which they were asked.
    steps: list[DecisionStep] = attrs.field(factory=list)
    #: The no that ended it.
    denial: Deny | None = None

    def allowed(self, gate: str, since: float, headers: Mapping[str, str]) -> None:
        """Note a yes; ``since`` is when the gate was asked, in performance time."""
        spent = time.perf_counter() - since
        self.steps.append(
            DecisionStep(stage=self.stage, gate=gate, said="allow", seconds=spent, headers=headers)
        )

    def denied(self, gate: str, since: float, denial: Deny) -> None:
        """Note a no of an authenticator or an admission gate."""
        self.denial = denial
        self.steps.append(
            DecisionStep(
                stage=self.stage,
                gate=gate,
                said="deny",
                seconds=time.perf_counter() - since,
                code=denial.code,
                headers=denial.headers,
            )
        )

    def authorized(self, decision: Decision) -> None:
        """Note what the authorization gates said, and their no if it is one."""
        for judgement in decision.trail:
            verdict = judgement.verdict
            self.steps.append(
                DecisionStep(
                    stage=self.stage,
                    gate=judgement.gate,
                    said=type(verdict).__name__.lower(),
                    seconds=judgement.seconds,
                    code=verdict.code if isinstance(verdict, Deny) else None,
                )
            )
        if isinstance(decision.verdict, Deny):
            self.denial = decision.verdict
