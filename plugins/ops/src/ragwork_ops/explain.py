"""Why a request was answered as it was: the latest requests of this process, and refusals of every process."""

from collections import OrderedDict, deque
from typing import Final

import attrs
import orjson
from ragwork_hooks.errors import ProviderError, not_found
from ragwork_hooks.events import DecisionStep, RequestSummary
from ragwork_hooks.services import Services
from ragwork_toolkit.rows import from_object

from ragwork_ops.schemas import ExplainedStep, ExplainResponse

KEPT: Final = 5_000
#: Refusals that are handed to the other processes with each tick; a flood is not worth more.
SHARED_PER_TICK: Final = 20
SHARED_FOR_S: Final = 300.0
_LIMIT_HEADERS: Final = ("retry-after", "x-ratelimit-", "ratelimit", "x-quota-", "x-sla-", "x-cost-")


class Explanations:
    """An observer that remembers what each gate said. Bounded: the oldest is forgotten first."""

    name = "ops-explanations"

    def __init__(self, services: Services) -> None:
        self._services = services
        self._kept: OrderedDict[tuple[str, str], RequestSummary] = OrderedDict()
        self._echoes: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._to_share: deque[RequestSummary] = deque(maxlen=SHARED_PER_TICK)

    def finished(self, request: RequestSummary) -> None:
        if request.tenant_id is None or request.rate_class == "probe":
            return
        self._kept[request.tenant_id, request.request_id] = request
        if request.echo_id != request.request_id:
            self._echoes[request.tenant_id, request.echo_id] = request.request_id
        for table in (self._kept, self._echoes):
            if len(table) > KEPT:
                table.popitem(last=False)
        if request.status >= 400:
            self._to_share.append(request)

    async def share(self) -> None:
        """Put new refusals where the other processes find them; while the state is away they stay this one's."""
        while self._to_share:
            request = self._to_share.popleft()
            value = orjson.dumps(attrs.asdict(_explained(request)))
            for identifier in {request.request_id, request.echo_id}:
                try:
                    await self._services.state.put(
                        str(request.tenant_id), f"explain:{identifier}", value, SHARED_FOR_S
                    )
                except ProviderError:
                    return

    async def find(self, tenant_id: str, identifier: str) -> ExplainResponse:
        """By the server's id or the one the client was shown. Raises ``Problem`` 404."""
        server_id = self._echoes.get((tenant_id, identifier), identifier)
        request = self._kept.get((tenant_id, server_id))
        if request is not None:
            return _explained(request)
        try:
            shared = await self._services.state.get(tenant_id, f"explain:{identifier}")
        except ProviderError:
            shared = None
        if shared is None:
            raise not_found("request", identifier)
        told = orjson.loads(shared)
        return ExplainResponse(**{**told, "steps": [ExplainedStep(**step) for step in told["steps"]]})


def _explained(request: RequestSummary) -> ExplainResponse:
    return from_object(
        ExplainResponse,
        request,
        client_request_id=request.echo_id,
        total_ms=_ms(request.seconds),
        deciding_ms=_ms(request.deciding_s),
        steps=[_step(step) for step in request.steps],
    )


def _step(step: DecisionStep) -> ExplainedStep:
    limits = {name: value for name, value in step.headers.items() if name.lower().startswith(_LIMIT_HEADERS)}
    return ExplainedStep(
        stage=step.stage,
        gate=step.gate,
        verdict=step.said,
        code=step.code,
        limits=limits,
        ms=_ms(step.seconds),
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
