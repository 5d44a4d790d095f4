"""What the kernel asks admission gates, for tests that ask them directly."""

from typing import Any

import attrs
from ragwork_hooks.admission import AdmissionRequest
from ragwork_hooks.auth import Principal, Role
from ragwork_hooks.storage import Transaction


def caller(tenant: str = "t1", key: str = "k1", role: Role = Role.READER) -> Principal:
    """A user of ``tenant`` who came with the API key ``key``."""
    return Principal(tenant_id=tenant, user_id="u", credential_id=key, kind="api_key", role=role)


def asked(principal: Principal | None, **facts: Any) -> AdmissionRequest:
    """A request of ``principal``. ``facts`` are the fields of ``AdmissionRequest`` that the test is about; without
    ``open`` among them a gate that asks for a transaction fails.
    """
    plain = AdmissionRequest(
        principal=principal,
        peer="192.0.2.1",
        route="documents.list",
        rate_class="read",
        switch=None,
        feature=None,
        request_id="r",
        open=_no_transaction,
    )
    return attrs.evolve(plain, **facts)


async def _no_transaction() -> Transaction:
    raise AssertionError("the gate opened a transaction")
