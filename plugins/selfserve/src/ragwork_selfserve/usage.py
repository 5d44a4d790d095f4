"""A tenant's own usage. What no enabled plugin measures is null, never a made-up zero."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Final

import attrs
from ragwork_hooks.audit import AuditLog
from ragwork_hooks.auth import Role
from ragwork_hooks.authz import Action
from ragwork_hooks.documents import DocumentCatalog
from ragwork_hooks.fields import choice, number
from ragwork_hooks.http import AnyRoute, Empty, Request
from ragwork_hooks.metering import QuotaWindow as Measured
from ragwork_hooks.metering import UsageReports, UsageSummary
from ragwork_hooks.storage import Transaction
from ragwork_toolkit.routes import read_route

READ: Final = Action(name="usage.read", role=Role.ADMIN)


@attrs.frozen(kw_only=True)
class SummaryQuery:
    """Which days."""

    #: How many days up to now.
    window_days: int = number(default=30, ge=1, le=90)


@attrs.frozen(kw_only=True)
class TimeseriesQuery:
    """Which series."""

    #: What is counted.
    metric: str = choice("requests", default="requests")
    #: How it is cut.
    granularity: str = choice("day", default="day")
    #: How many days up to today.
    days: int = number(default=30, ge=1, le=90)


@attrs.frozen(kw_only=True)
class ByRouteClass:
    """Requests by what they did; null while nothing counts them."""

    #: Questions. Example: 12
    run: int | None = None
    #: Reads. Example: 340
    read: int | None = None
    #: Changes. Example: 25
    mutation: int | None = None
    #: Views of operation. Example: 3
    ops: int | None = None


@attrs.frozen(kw_only=True)
class Requests:
    """Requests of the window."""

    #: All of them; null while nothing counts them. Example: 380
    total: int | None
    #: By what they did.
    by_route_class: ByRouteClass


@attrs.frozen(kw_only=True)
class Window:
    """A limit and what is left of it; ``limit`` and ``remaining`` are null when unlimited."""

    #: Units that may be used; null for no limit. Example: 500
    limit: int | None = None
    #: Units used. Example: 120
    used: int | None = None
    #: Units left; null for no limit. Example: 380
    remaining: int | None = None


@attrs.frozen(kw_only=True)
class Quota:
    """Where the tenant stands."""

    #: Today, UTC.
    day: Window
    #: This month, UTC.
    month: Window
    #: Whether the warning share is reached. Example: false
    soft_cap_reached: bool
    #: `enforce` or `observe`. Example: "enforce"
    hard_cap_mode: str


@attrs.frozen(kw_only=True)
class RateLimitHits:
    """Requests that came too fast."""

    #: How many were refused; null while nothing counts them. Example: 4
    count: int | None
    #: When the last one was; null for none.
    last_at: datetime | None


@attrs.frozen(kw_only=True)
class IngestionCounts:
    """Documents by state; null while nothing holds documents."""

    #: Waiting. Example: 0
    queued: int | None = None
    #: Being ingested. Example: 1
    processing: int | None = None
    #: Ready. Example: 40
    succeeded: int | None = None
    #: Failed. Example: 2
    failed: int | None = None


@attrs.frozen(kw_only=True)
class UsageSummaryResponse:
    """What a tenant used."""

    #: The days that were asked about. Example: 30
    window_days: int
    #: Requests of these days.
    requests: Requests
    #: Where the tenant stands.
    quota: Quota
    #: Requests of these days that came too fast.
    rate_limit_hits: RateLimitHits
    #: Documents by state.
    ingestion: IngestionCounts


@attrs.frozen(kw_only=True)
class Point:
    """One day of a series."""

    #: The day.
    ts: date
    #: How many. Example: 42
    value: int


@attrs.frozen(kw_only=True)
class UsageTimeseriesResponse:
    """A series."""

    #: What is counted. Example: "requests"
    metric: str
    #: How it is cut. Example: "day"
    granularity: str
    #: One point for each day, oldest first.
    points: list[Point]


class UsageApi:
    """Handlers and declarations of ``/v1/self-serve/usage``; ``None`` stands for what is not enabled."""

    def __init__(
        self,
        *,
        usage: UsageReports | None,
        log: AuditLog | None,
        documents: DocumentCatalog | None,
        now: Callable[[], datetime],
    ) -> None:
        self._usage = usage
        self._log = log
        self._documents = documents
        self._now = now

    def routes(self) -> tuple[AnyRoute, ...]:
        return (
            read_route(
                name="selfserve.usage.summary", path="/v1/self-serve/usage/summary",
                summary="Requests, quota, rate-limit hits and ingestion of the last days",
                handler=self.summary, action=READ, audit_event="selfserve.usage.viewed", stale_reads=True,
                response=UsageSummaryResponse, query=SummaryQuery, legacy=True,
            ),
            read_route(
                name="selfserve.usage.timeseries", path="/v1/self-serve/usage/timeseries",
                summary="Requests of each day", handler=self.timeseries, action=READ,
                audit_event="selfserve.usage.viewed", stale_reads=True, response=UsageTimeseriesResponse,
                query=TimeseriesQuery, legacy=True,
            ),
        )  # fmt: skip

    async def summary(self, request: Request[Empty, SummaryQuery]) -> UsageSummaryResponse:
        days = request.query.window_days
        since = self._now() - timedelta(days=days)
        measured = None if self._usage is None else await self._usage.summary(request.tx, days)
        return UsageSummaryResponse(
            window_days=days,
            requests=_requests(measured),
            quota=quota(measured),
            rate_limit_hits=await self._hits(request.tx, since),
            ingestion=await self._ingestion(request.tx, since),
        )

    async def timeseries(self, request: Request[Empty, TimeseriesQuery]) -> UsageTimeseriesResponse:
        query = request.query
        counts = () if self._usage is None else await self._usage.by_day(request.tx, query.days)
        return UsageTimeseriesResponse(
            metric=query.metric,
            granularity=query.granularity,
            points=[Point(ts=day, value=count) for day, count in counts],
        )

    async def _hits(self, tx: Transaction, since: datetime) -> RateLimitHits:
        if self._log is None:
            return RateLimitHits(count=None, last_at=None)
        tally = await self._log.tally(tx, "security.rate_limited", since)
        return RateLimitHits(count=tally.count, last_at=tally.last_at)

    async def _ingestion(self, tx: Transaction, since: datetime) -> IngestionCounts:
        if self._documents is None:
            return IngestionCounts()
        counts = (await self._documents.ingestion(tx, since)).by_status
        names = (field.name for field in attrs.fields(IngestionCounts))
        return IngestionCounts(**{name: counts.get(name, 0) for name in names})


def quota(measured: UsageSummary | None) -> Quota:
    """Where the tenant stands; without a quota plugin nothing is enforced and nothing is counted."""
    if measured is None:
        return Quota(day=Window(), month=Window(), soft_cap_reached=False, hard_cap_mode="observe")
    return Quota(
        day=_window(measured.day),
        month=_window(measured.month),
        soft_cap_reached=measured.soft_cap_reached,
        hard_cap_mode=measured.hard_cap_mode,
    )


def _window(window: Measured) -> Window:
    return Window(limit=window.limit, used=window.used, remaining=window.remaining)


def _requests(measured: UsageSummary | None) -> Requests:
    if measured is None:
        return Requests(total=None, by_route_class=ByRouteClass())
    names = (field.name for field in attrs.fields(ByRouteClass))
    counts = {name: measured.by_class.get(name, 0) for name in names}
    return Requests(total=measured.total, by_route_class=ByRouteClass(**counts))
