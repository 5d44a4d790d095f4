"""The admin API of rollouts: platform scope only, since a switch stops all tenants."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs
from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.auth import Role
from ragwork_hooks.authz import Action
from ragwork_hooks.errors import Problem
from ragwork_hooks.http import AnyRoute, Empty, Request, Response
from ragwork_toolkit.routes import platform_read_route, platform_write_route

from ragwork_rollouts.store import ControlStore

READ: Final = Action(name="rollout.read", role=Role.ADMIN, platform=True)
UPDATE: Final = Action(name="rollout.update", role=Role.ADMIN, platform=True)


@attrs.frozen(kw_only=True)
class KillSwitchesPatchRequest:
    """Switches to turn."""

    #: true stops, false lets go on; unknown names are ignored unless all are. Example: {"kill.run": false}
    kill_switches: dict[str, object]


@attrs.frozen(kw_only=True)
class KillSwitchesResponse:
    """Every switch."""

    #: What is stopped for all tenants. Example: {"kill.run": false, "kill.ingest": false}
    kill_switches: dict[str, bool]


@attrs.frozen(kw_only=True)
class CanaryPatchRequest:
    """Shares to set."""

    #: How many of 100 tenants have a feature; cut to 0 to 100. Example: {"rollout.tts": 100}
    canary_percentages: dict[str, object]


@attrs.frozen(kw_only=True)
class CanaryResponse:
    """Every share."""

    #: How many of 100 tenants have a feature. Example: {"rollout.tts": 100, "rollout.external_retrieval":
    #: 100}
    canary_percentages: dict[str, int]


class RolloutAdminApi:
    """Handlers and declarations of ``/v1/admin/rollouts``."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    def routes(self) -> tuple[AnyRoute, ...]:
        return (
            platform_read_route(
                name="rollouts.killswitches.get", path="/v1/admin/rollouts/killswitches",
                summary="Every kill switch", handler=self.switches, action=READ,
                response=KillSwitchesResponse, legacy=True,
            ),
            platform_write_route(
                name="rollouts.killswitches.patch", method="PATCH", path="/v1/admin/rollouts/killswitches",
                summary="Stop something for all tenants, or let it go on", handler=self.patch_switches,
                action=UPDATE, audit_event="rollouts.killswitch.updated", idempotency="accepted",
                response=KillSwitchesResponse, body=KillSwitchesPatchRequest, legacy=True,
            ),
            platform_read_route(
                name="rollouts.canary.get", path="/v1/admin/rollouts/canary",
                summary="Every canary percentage", handler=self.canaries, action=READ,
                response=CanaryResponse, legacy=True,
            ),
            platform_write_route(
                name="rollouts.canary.patch", method="PATCH", path="/v1/admin/rollouts/canary",
                summary="Set how many of 100 tenants have a feature", handler=self.patch_canaries,
                action=UPDATE, audit_event="rollouts.canary.updated", idempotency="accepted",
                response=CanaryResponse, body=CanaryPatchRequest, legacy=True,
            ),
        )  # fmt: skip

    async def switches(self, request: Request[Any, Empty]) -> KillSwitchesResponse:
        return KillSwitchesResponse(kill_switches=dict((await self._store.read(request.tx)).killed))

    async def patch_switches(self, request: Request[KillSwitchesPatchRequest, Empty]) -> Response:
        known = (await self._store.read(request.tx)).killed
        given = _known("kill_switches", request.body.kill_switches, known)
        changes = {name: _switch(name, value) for name, value in given.items()}
        changed = await self._store.switch(request.tx, changes)
        return Response(
            data=await self.switches(request), changed=changed, audit=_note("kill_switch", changes)
        )

    async def canaries(self, request: Request[Any, Empty]) -> CanaryResponse:
        return CanaryResponse(canary_percentages=dict((await self._store.read(request.tx)).percentages))

    async def patch_canaries(self, request: Request[CanaryPatchRequest, Empty]) -> Response:
        known = (await self._store.read(request.tx)).percentages
        given = _known("canary_percentages", request.body.canary_percentages, known)
        changes = {name: _percentage(name, value) for name, value in given.items()}
        changed = await self._store.roll_out(request.tx, changes)
        return Response(data=await self.canaries(request), changed=changed, audit=_note("canary", changes))


def _known(field: str, given: Mapping[str, object], known: Iterable[str]) -> dict[str, object]:
    """What of ``given`` there is; other keys are passed over, as the contract says, unless all are such."""
    names = set(known)
    found = {name: value for name, value in given.items() if name in names}
    if not found:
        raise Problem("VALIDATION_ERROR", f"{field} names none of {', '.join(sorted(names))}")
    return found


def _switch(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _invalid("kill_switches", name, "bool_type", "must be true or false")
    return value


def _percentage(name: str, value: object) -> int:
    """A whole number clamped to 0 to 100."""
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not math.isfinite(number) or number != int(number):
        raise _invalid("canary_percentages", name, "int_type", "must be a whole number")
    return max(0, min(100, int(number)))


def _invalid(field: str, name: str, kind: str, message: str) -> Problem:
    error = {"type": kind, "loc": ["body", field, name], "msg": message}
    return Problem("REQUEST_VALIDATION_ERROR", "Validation error", details={"errors": [error]})


def _note(kind: str, changes: Mapping[str, object]) -> AuditDetails:
    return AuditDetails(resource_type=kind, resource_id=",".join(sorted(changes)), metadata=changes)
