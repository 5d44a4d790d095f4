"""Refusals that say how to go on: their headers and whose log they may enter."""

from ragwork_hooks.errors import busy, retry_after, unauthenticated, unavailable


def test_who_has_to_wait_is_told_whole_seconds_and_one_at_least() -> None:
    assert [retry_after(s)["Retry-After"] for s in (0, 0.2, 1, 2.6, 30)] == ["1", "1", "1", "3", "30"]


def test_busy_and_unavailable_are_503_and_say_when_to_ask_again() -> None:
    told = [(p.code, p.status, p.headers) for p in (busy("full"), unavailable("away", 5))]
    assert told == [
        ("SERVICE_BUSY", 503, {"Retry-After": "1"}),
        ("SERVICE_UNAVAILABLE", 503, {"Retry-After": "5"}),
    ]


def test_a_401_carries_its_challenge_and_no_tenant_unless_one_was_proven() -> None:
    claimed = unauthenticated("SCIM_UNAUTHORIZED", "unknown")
    proven = unauthenticated("AUTH_REVOKED_KEY", "revoked", "acme", challenge="Basic")
    assert (claimed.status, claimed.headers, claimed.tenant_id) == (401, {"WWW-Authenticate": "Bearer"}, None)
    assert (proven.status, proven.headers, proven.tenant_id) == (401, {"WWW-Authenticate": "Basic"}, "acme")
