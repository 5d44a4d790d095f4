"""The gates of switches and canaries. Warm, they ask nobody; a store that can't be read refuses."""

from typing import Final

from ragwork_hooks.admission import Admission, AdmissionRequest, Stage, Wire
from ragwork_hooks.authz import Deny
from ragwork_hooks.errors import retry_after
from ragwork_hooks.http import AnyRoute

from ragwork_rollouts.canary import reaches
from ragwork_rollouts.store import ControlStore

#: What a client is told to wait, in seconds: a person turned it off, a person turns it on.
RETRY_AFTER_S: Final = 30
_WIRE: Final = Wire(codes=("FEATURE_TEMPORARILY_DISABLED",))
_RETRIEVAL: Final = "retrieval."
_LOCAL_RETRIEVAL: Final = "retrieval.local_pgvector"


class SwitchGate:
    """Stops routes by the switch that they name. Implements ``ragwork_hooks.admission.AdmitGate``."""

    name: str = "rollouts.switch"
    stage: Stage = "switch"

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    async def admit(self, request: AdmissionRequest) -> Admission | Deny:
        if request.switch is None:
            return Admission()
        switch = f"kill.{request.switch}"
        killed = (await self._store.current()).killed
        return _stopped(switch) if killed.get(switch, False) else Admission()

    def wire(self, route: AnyRoute) -> Wire:
        return Wire() if route.switch is None else _WIRE


class FeatureGate:
    """Stops features by switch and canary. Implements ``ragwork_hooks.admission.AdmitGate``."""

    name: str = "rollouts.feature"
    stage: Stage = "entitlement"

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    async def admit(self, request: AdmissionRequest) -> Admission | Deny:
        control = control_of(request.feature)
        if control is None or request.principal is None:
            return Admission()
        switch, canary = f"kill.{control}", f"rollout.{control}"
        controls = await self._store.current()
        if controls.killed[switch]:
            return _stopped(switch)
        if not reaches(canary, controls.percentages[canary], request.principal.tenant_id):
            return _refusal(canary, "is being rolled out and has not reached your tenant")
        return Admission()

    def wire(self, route: AnyRoute) -> Wire:
        return Wire() if route.feature is None else _WIRE


def control_of(feature: str | None) -> str | None:
    """What switch and canary of a feature are called after their first dot; ``None`` without any."""
    if feature == "tts":
        return "tts"
    if feature is not None and feature.startswith(_RETRIEVAL) and feature != _LOCAL_RETRIEVAL:
        return "external_retrieval"
    return None


def _stopped(switch: str) -> Deny:
    return _refusal(switch, "is switched off by the operator")


def _refusal(control: str, why: str) -> Deny:
    name = control.partition(".")[2].replace("_", " ")
    return Deny(
        "FEATURE_TEMPORARILY_DISABLED",
        f"{name} {why}; try again later",
        details={"switch": control},
        headers=retry_after(RETRY_AFTER_S),
    )
