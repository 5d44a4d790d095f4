"""The header fields parse as structured fields and every number in them is true."""

import math
import re

from hypothesis import given
from hypothesis import strategies as st
from ragwork_hooks.storage import BucketDraw
from ragwork_ratelimit import headers
from ragwork_ratelimit.buckets import LocalBuckets
from ragwork_ratelimit.limits import Limit, RateLimitPolicy
from ragwork_testkit.process import ManualClock

_ITEM = re.compile(r'"([a-z0-9-]+)"((?:;[a-z]+=\d{1,15})*)')
LIMITS = st.builds(Limit, st.floats(1e-6, 1e6), st.integers(3, 1_000_000))


def parsed(field):
    """Name → parameters of a list of strings with integer parameters (RFC 9651), which is all that we send."""
    items = {}
    for text in field.split(", "):
        match = _ITEM.fullmatch(text)
        assert match, text
        items[match[1]] = {k: int(v) for k, v in (p.split("=") for p in match[2].split(";")[1:])}
    return items


RUN = (
    RateLimitPolicy("run-key", "api_key", Limit(1, 5), 3),
    RateLimitPolicy("run-tenant", "tenant", Limit(3, 15), 3),
)


def test_a_class_that_costs_more_is_told_in_requests():
    assert headers.policy_field(RUN) == '"run-key";q=1;w=3, "run-tenant";q=5;w=5'
    assert headers.limit_field(RUN, (2.0, 12.0)) == '"run-key";r=0;t=1, "run-tenant";r=4;t=1'
    assert headers.limit_field(RUN, (5.0, 15.0)) == '"run-key";r=1, "run-tenant";r=5'


@given(limit=LIMITS, cost=st.sampled_from([1, 3]), drawn=st.lists(st.floats(0, 1), max_size=5))
def test_what_remains_may_follow_at_once_and_more_after_t(limit, cost, drawn):
    clock, policy = ManualClock(0.0), RateLimitPolicy("p", "api_key", limit, cost)
    local, bucket = LocalBuckets(clock, 10), [limit.bucket("b")]
    for part in drawn:
        local.take(bucket, part * limit.burst)
        clock.now += part / limit.rate
    left = local.take(bucket, 0).remaining
    told = parsed(headers.limit_field((policy,), left))["p"]
    assert local.take(bucket, min(told["r"] * cost, left[0])).short is None
    assert local.take(bucket, cost).short == 0
    if "t" in told:
        clock.now += told["t"] * (1 + 1e-9)
        assert local.take(bucket, cost * (1 - 1e-5)).short is None


@given(limit=LIMITS, cost=st.sampled_from([1, 3]))
def test_who_keeps_to_the_policy_is_never_refused(limit, cost):
    clock, policy = ManualClock(0.0), RateLimitPolicy("p", "api_key", limit, cost)
    told = parsed(headers.policy_field((policy,)))["p"]
    local, bucket = LocalBuckets(clock, 10), [limit.bucket("b")]
    for _ in range(50):
        assert local.take(bucket, cost).short is None
        clock.now += told["w"] / told["q"] * (1 + 1e-9)
    assert told["w"] >= 1


def test_a_closed_limit_names_no_time():
    closed = (RateLimitPolicy("run-key", "api_key", Limit(0, 5), 3),)
    assert parsed(headers.policy_field(closed)) == {"run-key": {"q": 0}}
    assert parsed(headers.limit_field(closed, (5.0,))) == {"run-key": {"r": 0}}
    deny = headers.refusal(closed[0], "run", BucketDraw(wait_s=math.inf, short=0, remaining=(5.0,)), {})
    assert deny.details == {"scope": "api_key", "route_class": "run", "retry_after_ms": None}
    assert deny.headers == {"X-RateLimit-Scope": "api_key", "X-RateLimit-Route-Class": "run"}


@given(wait_s=st.floats(1e-9, 1e6))
def test_the_times_named_are_never_too_short(wait_s):
    deny = headers.refusal(
        RUN[1], "run", BucketDraw(wait_s=wait_s, short=1, remaining=(5.0, 0.0)), {"RateLimit": "x"}
    )
    wait_ms = deny.details["retry_after_ms"]
    assert wait_s * 1000 <= wait_ms < wait_s * 1000 + 1.001
    assert deny.headers["X-RateLimit-Retry-After-Ms"] == str(wait_ms)
    assert wait_ms <= int(deny.headers["Retry-After"]) * 1000 < wait_ms + 1000
    assert (deny.headers["X-RateLimit-Scope"], deny.headers["RateLimit"]) == ("tenant", "x")
    assert (deny.code, deny.message, deny.audit_event) == (
        "RATE_LIMITED",
        "Rate limit exceeded",
        "security.rate_limited",
    )
