"""What adapters share: advice to wait is never wild, and a secret belongs to one tenant."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest
from ragwork_toolkit.vendor.retry_after import retry_after_s
from ragwork_toolkit.vendor.tenant_credentials import (
    Profile,
    may_share,
    secret_name,
    store_access_refusal,
    tenant_secret,
)

PROFILES: Sequence[Profile] = ("development", "test", "production")
NOW = datetime(2015, 10, 21, 7, 28, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("7", 7.0),
        (" 0 ", 0.0),
        ("-7", None),
        ("1.5", None),
        ("\u00b2", None),
        ("\u0667", None),
        ("9" * 5000, 3600.0),
        ("nan", None),
        ("inf", None),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:28:30 -0000", 30.0),
        ("Wed, 21 Oct 2015 09:28:30 +0200", 30.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 3600.0),
        ("Wed, 21 Oct 99999 07:28:00 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 -0000", 0.0),
        ("Wed, 41 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_advice_to_wait_is_bounded_and_nonsense_is_none(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, NOW) == seconds


class Secrets:
    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values

    def key(self, name: str) -> bytes:
        raise AssertionError("nobody needs a key here")

    def value(self, name: str) -> str | None:
        return self.values.get(name)


def test_a_secret_is_its_tenants_alone() -> None:
    name = secret_name("X", "own-1", "prod.eu")
    assert name == "X_OWN_1_PROD_EU" == secret_name("X", "own_1", "prod:eu")
    secrets = Secrets({name: json.dumps({"tenant": "own-1", "id": "a"})})
    assert tenant_secret(secrets, "X", "own-1", "prod.eu")["id"] == "a"
    with pytest.raises(LookupError, match=r"'prod:eu': no secret X_OWN_1_PROD_EU of tenant 'own_1' is set"):
        tenant_secret(secrets, "X", "own_1", "prod:eu")


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '"own-1"', "null", '{"tenant": 1}', "[" * 100_000])
def test_an_unusable_secret_looks_like_none(text: str) -> None:
    with pytest.raises(LookupError):
        tenant_secret(Secrets({"X_T_R": text}), "X", "t", "r")


@pytest.mark.parametrize(
    ("tenant", "store", "may"),
    [
        ("t1", "KB1", True),
        ("t2", "KB1", False),
        ("t1", "KB2", False),
        ("t2", "open", True),
        ("a", "b:KB", True),
        ("a:b", "KB", False),
        ("*", "KB1", False),
        ("", "KB1", False),
    ],
)
def test_the_operators_credentials_reach_only_what_is_listed(tenant: str, store: str, may: bool) -> None:
    for profile in PROFILES:
        assert may_share(("t1:KB1", "*:open", "a:b:KB", "KB1"), profile, tenant, store) is may


def test_an_empty_list_is_everything_but_in_production() -> None:
    assert [may_share((), profile, "t1", "KB1") for profile in PROFILES] == [True, True, False]


def test_who_may_not_reach_a_store_is_told_how_to() -> None:
    asked = ("X_SHARED", ("t1:KB1",), "production")
    assert store_access_refusal(*asked, "t1", "KB1", kind="base") is None
    refused = store_access_refusal(*asked, "t2", "KB1", kind="base")
    assert refused == (
        "base 'KB1' is not shared with tenant 't2': set 'credentials_ref' of the corpus, or X_SHARED to hold t2:KB1"
    )
