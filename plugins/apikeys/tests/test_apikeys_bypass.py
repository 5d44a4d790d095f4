"""The development bypass lets in nobody but a loopback caller without a token, and never in production."""

from typing import Any

import pytest
from multidict import CIMultiDict
from ragwork_apikeys import _bypass
from ragwork_apikeys.config import ApiKeysConfig
from ragwork_apikeys.dev_bypass import FORWARDING, DevBypass, is_loopback
from ragwork_hooks.auth import Credential, Role
from ragwork_hooks.errors import ConfigError, Problem


def credential(peer: str = "127.0.0.1", bearer: str | None = None, **headers: str) -> Credential:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Credential(bearer=bearer, peer=peer, headers=CIMultiDict(names))


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
async def test_a_loopback_caller_is_who_it_says(peer: str) -> None:
    principal = await DevBypass("Authorization").authenticate(
        credential(peer, X_Tenant_Id="t1", X_Role="reader")
    )
    assert principal is not None
    assert (principal.tenant_id, principal.user_id, principal.credential_id, principal.role) == (
        "t1", "dev-t1", "dev-bypass", Role.READER,
    )  # fmt: skip
    assert not principal.platform


async def test_the_role_defaults_to_admin() -> None:
    principal = await DevBypass("Authorization").authenticate(credential(X_Tenant_Id="t1"))
    assert principal is not None
    assert principal.role is Role.ADMIN


@pytest.mark.parametrize(
    "peer", ["10.0.0.1", "::ffff:10.0.0.1", "192.168.1.1", "2001:db8::1", "", "localhost", "127.0.0.1.evil"]
)
async def test_any_other_peer_is_no_business_of_it(peer: str) -> None:
    assert not is_loopback(peer)
    forged = credential(peer, X_Tenant_Id="t1", X_Forwarded_For="127.0.0.1", X_Real_Ip="127.0.0.1")
    assert await DevBypass("Authorization").authenticate(forged) is None


@pytest.mark.parametrize("name", FORWARDING)
async def test_what_a_proxy_passes_on_is_no_business_of_it(name: str) -> None:
    passed = credential(X_Tenant_Id="t1", **{name: "127.0.0.1"})
    assert await DevBypass("Authorization").authenticate(passed) is None


@pytest.mark.parametrize(
    "carried",
    [
        credential(bearer="nrgk_x", X_Tenant_Id="t1"),
        credential(X_Tenant_Id="t1", Authorization="Basic eA=="),
    ],
)
async def test_a_request_with_a_credential_is_judged_by_that(carried: Credential) -> None:
    assert await DevBypass("Authorization").authenticate(carried) is None


@pytest.mark.parametrize("tenant", [None, "", "a'b", "a b", "-x", "x" * 129, "ragwork.platform"])
async def test_without_a_well_formed_tenant_401(tenant: str | None) -> None:
    given: dict[str, Any] = {} if tenant is None else {"X_Tenant_Id": tenant}
    with pytest.raises(Problem) as refused:
        await DevBypass("Authorization").authenticate(credential(**given))
    assert (refused.value.status, refused.value.code) == (401, "AUTH_UNAUTHORIZED")
    assert refused.value.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("role", ["root", "ADMIN", "admin "])
async def test_a_bad_role_is_400(role: str) -> None:
    with pytest.raises(Problem) as refused:
        await DevBypass("Authorization").authenticate(credential(X_Tenant_Id="t1", X_Role=role))
    assert (refused.value.status, refused.value.code) == (400, "AUTH_INVALID_ROLE")


@pytest.mark.parametrize("config", [ApiKeysConfig(dev_bypass=True), ApiKeysConfig(enabled=False)])
def test_production_refuses_to_start_with_the_door_open(config: ApiKeysConfig) -> None:
    with pytest.raises(ConfigError):
        _bypass(config, "production")
    assert len(_bypass(config, "development")) == 1


def test_the_door_is_closed_by_default() -> None:
    assert _bypass(ApiKeysConfig(), "development") == ()
    assert _bypass(ApiKeysConfig(), "production") == ()
