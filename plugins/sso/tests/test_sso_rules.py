"""Rules without a server: production's addresses, secret references, role mappings."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ragwork_hooks.auth import Role
from ragwork_hooks.errors import Problem
from ragwork_sso.login import role_mapping
from ragwork_sso.login.return_urls import endpoint
from ragwork_sso.providers.secret_refs import ClientSecrets
from ragwork_sso.sessions.session_tokens import SESSION


@pytest.mark.parametrize(
    "url",
    [
        "http://idp.example.com/", "https://127.0.0.1/", "https://10.0.0.1/", "https://[::1]/", "https://localhost/",
        "https://a.localhost/", "https://[::ffff:10.0.0.1]/", "https://169.254.169.254/", "https://192.168.1.1:8443/",
        "https://127.1/", "https://0x7f.1/", "https://[fe80::1]/", "https://[fd00::1]/", "https://100.64.0.1/",
    ],
)  # fmt: skip
def test_in_production_a_provider_is_outside_and_https(url: str) -> None:
    with pytest.raises(Problem) as refused:
        endpoint("jwks_url", url, production=True)
    assert refused.value.details["field"] == "jwks_url"
    assert endpoint("jwks_url", "https://idp.example.com:8443/keys?a=b", production=True)


@given(url=st.text(max_size=80))
def test_no_text_breaks_the_check_of_addresses(url: str) -> None:
    with contextlib.suppress(Problem):
        assert endpoint("issuer", url, production=True) == url


class Values:
    def __init__(self, **values: str) -> None:
        self.values = values
        self.asked: list[str] = []

    def key(self, _name: str) -> bytes:
        raise LookupError

    def value(self, name: str) -> str | None:
        self.asked.append(name)
        return self.values.get(name)


def test_only_names_of_the_namespace_are_even_looked_up() -> None:
    values = Values(APIKEY_PEPPER='{"tenant_id": "t1", "client_secret": "x"}')
    for ref in (
        "APIKEY_PEPPER",
        "sso_client_secret_a",
        "SSO_CLIENT_SECRET_",
        "SSO_CLIENT_SECRET_A\n",
        " ",
        "",
    ):
        assert ClientSecrets(values, frozenset()).resolve("t1", ref) is None
    assert values.asked == []


@pytest.mark.parametrize(
    "text",
    [
        "plain", "[]", "{}", '{"tenant_id": "t1"}', '{"client_secret": "x"}',
        '{"tenant_id": "t1", "client_secret": ""}',
        '{"tenant_id": "t1", "client_secret": 1}', '{"tenant_id": ["t1"], "client_secret": "x"}',
        '{"tenant_id": "T1", "client_secret": "x"}', '{"tenant_id": "t1", "client_secret": "x", "more": 1}',
    ],
)  # fmt: skip
def test_a_secret_that_does_not_name_exactly_this_tenant_is_none(text: str) -> None:
    assert (
        ClientSecrets(Values(SSO_CLIENT_SECRET_A=text), frozenset()).resolve("t1", "SSO_CLIENT_SECRET_A")
        is None
    )


CASES: list[tuple[dict[str, object], dict[str, object], Role]] = [
    ({"groups": {"A": "admin", "E": "editor"}}, {"groups": ["E", "A"]}, Role.ADMIN),
    ({"groups": {"A": "admin"}}, {"groups": "A"}, Role.ADMIN),
    ({"groups": {"A": "admin"}}, {"groups": ["a", "AA", 1, None, ["A"], {"A": 1}]}, Role.EDITOR),
    ({"groups": {"A": "admin"}}, {}, Role.EDITOR),
    ({"groups": {"A": "admin"}}, {"groups": {"A": True}}, Role.EDITOR),
    ({"groups": {"R": "reader"}}, {"groups": ["R"]}, Role.READER),
    ({"claim": "roles", "mapping": {"staff": "reader"}}, {"roles": ["staff"]}, Role.READER),
    ({"realm_access.roles": {"x": "admin"}}, {"realm_access": {"roles": ["x"]}}, Role.ADMIN),
    ({"a.b.c": {"x": "admin"}}, {"a": {"b": "x"}}, Role.EDITOR),
    ({"https://x.example/roles": {"x": "admin"}}, {"https://x.example/roles": ["x"]}, Role.ADMIN),
    ({"g": {"x": "reader"}, "h": {"y": "admin"}}, {"g": "x", "h": "y"}, Role.ADMIN),
    ({}, {"groups": ["A"]}, Role.EDITOR),
]


@pytest.mark.parametrize(("mapping", "claims", "role"), CASES)
def test_claims_become_roles(mapping: Any, claims: Any, role: Role) -> None:
    assert role_mapping.role_for(role_mapping.checked(mapping), Role.EDITOR, claims) is role


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(mapping=st.dictionaries(st.text(max_size=5), _JSON, max_size=3))
def test_a_mapping_is_either_refused_or_works_on_any_claims(mapping: Any) -> None:
    try:
        role_mapping.checked(mapping)
    except Problem:
        return
    for claims in ({}, mapping, {"a": [mapping]}):
        assert role_mapping.role_for(mapping, Role.READER, claims) in Role


@given(text=st.text(max_size=100))
def test_no_made_up_text_is_a_session(text: str) -> None:
    assert SESSION.id_of(SESSION.prefix + text) is None
    assert SESSION.id_of(SESSION.mint()[1] + text) is None or text == ""
