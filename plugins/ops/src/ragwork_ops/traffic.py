"""What this process served, minute by minute, and what all processes served in the last hour."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

import attrs
from ragwork_hooks.audit import PLATFORM_TENANT
from ragwork_hooks.events import RequestSummary
from ragwork_hooks.services import Services

from ragwork_ops.histogram import Histogram

WINDOW: Final = timedelta(hours=1)
KEPT: Final = timedelta(hours=2)

_SAVE = """INSERT INTO ops.traffic (replica, minute, class, requests, errors, buckets)
    SELECT $1, minute, class, requests, errors, buckets FROM jsonb_to_recordset($2)
        AS t (minute timestamptz, class text, requests bigint, errors bigint, buckets bigint[])
    ON CONFLICT (replica, minute, class) DO UPDATE
    SET requests = excluded.requests, errors = excluded.errors, buckets = excluded.buckets"""
_READ = "SELECT minute, class, requests, errors, buckets FROM ops.traffic WHERE minute > $1 AND replica <> $2"
_FORGET = "DELETE FROM ops.traffic WHERE minute < now() - $1::interval"


@attrs.define(kw_only=True)
class MinuteStats:
    """Requests of one class: how many, how many failed by the server's fault, how long they took."""

    requests: int = 0
    errors: int = 0
    latency: Histogram = attrs.field(factory=Histogram)


Series = dict[tuple[datetime, str], MinuteStats]


_DOCUMENTS: Final = "/v1/documents"


class RequestStats:
    """An observer that counts; a ticker saves the minutes that changed."""

    name = "ops-traffic"

    def __init__(self, services: Services) -> None:
        self._services = services
        self._replica = uuid4()
        self._minutes: Series = {}
        self._changed: set[tuple[datetime, str]] = set()
        self._saving = asyncio.Lock()
        self.by_status: dict[tuple[str, str], Histogram] = defaultdict(Histogram)
        self.segments: dict[tuple[str, str], Histogram] = defaultdict(Histogram)
        self.codes: dict[str, int] = defaultdict(int)
        #: Documents taken in for ingestion.
        self.taken_in = 0

    def finished(self, request: RequestSummary) -> None:
        if request.rate_class == "probe":
            return
        ms = request.seconds * 1000
        key = (_minute(self._services.clock.now()), class_of(request))
        served = self._minutes.setdefault(key, MinuteStats())
        served.requests += 1
        served.errors += request.status >= 500 and not _shed(request)
        served.latency.add(ms)
        self._changed.add(key)
        self.by_status[request.rate_class, f"{request.status // 100}xx"].add(ms)
        for step in request.steps:
            self.segments[request.rate_class, step.stage].add(step.seconds * 1000)
        self.segments[request.rate_class, "deciding"].add(request.deciding_s * 1000)
        if request.code is not None:
            self.codes[request.code] += 1
        self.taken_in += request.status == 202 and request.path.startswith(_DOCUMENTS)

    async def save(self) -> None:
        """Write changed minutes and drop old ones, here and in the table."""
        async with self._saving:
            changed = self._changed
            if not changed:
                return
            self._changed = set()
            rows = [_row(key, self._minutes[key]) for key in changed]
            try:
                async with self._services.db.tenant(PLATFORM_TENANT) as tx:
                    await tx.execute(_SAVE, self._replica, rows)
                    await tx.execute(_FORGET, KEPT)
            except BaseException:
                self._changed |= changed
                raise
            oldest = self._services.clock.now() - KEPT
            self._minutes = {key: served for key, served in self._minutes.items() if key[0] >= oldest}

    async def last_hour(self) -> Series:
        """Of all processes; of this one alone while the database is away."""
        since = self._services.clock.now() - WINDOW
        series = {key: served for key, served in self._minutes.items() if key[0] > since}
        joined: Series = {key: _copy(served) for key, served in series.items()}
        try:
            async with self._services.db.tenant(PLATFORM_TENANT, "read") as tx:
                rows = await tx.fetch(_READ, since, self._replica)
        except Exception:
            self._services.metrics.count("ops_local_only_total", "SLO reads without the database.")
            return joined
        for row in rows:
            served = joined.setdefault((row["minute"], row["class"]), MinuteStats())
            served.requests += row["requests"]
            served.errors += row["errors"]
            served.latency.merge(row["buckets"])
        return joined


def total(
    series: Mapping[tuple[datetime, str], MinuteStats], classes: Iterable[str], since: datetime
) -> MinuteStats:
    """The sum over ``classes`` from ``since`` on."""
    wanted, summed = set(classes), MinuteStats()
    for (minute, name), served in series.items():
        if minute >= since and name in wanted:
            summed.requests += served.requests
            summed.errors += served.errors
            summed.latency.merge(served.latency.counts, served.latency.slowest_ms)
    return summed


def class_of(request: RequestSummary) -> str:
    """Runs and text ingestion have figures of their own; the rest is the API."""
    if request.rate_class == "run":
        return "run"
    return "documents_text" if request.path == "/v1/documents/text" else "api"


def _shed(request: RequestSummary) -> bool:
    """Refused on purpose: a switch, a full bulkhead, a limit. The objective counts failures, not refusals."""
    return request.code in ("FEATURE_TEMPORARILY_DISABLED", "SERVICE_BUSY", "SLA_SHED_LOAD")


def _minute(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(second=0, microsecond=0)


def _row(key: tuple[datetime, str], served: MinuteStats) -> dict[str, object]:
    return {
        "minute": key[0].isoformat(),
        "class": key[1],
        "requests": served.requests,
        "errors": served.errors,
        "buckets": served.latency.counts,
    }


def _copy(served: MinuteStats) -> MinuteStats:
    latency = Histogram(served.latency.counts)
    latency.slowest_ms = served.latency.slowest_ms
    return MinuteStats(requests=served.requests, errors=served.errors, latency=latency)
