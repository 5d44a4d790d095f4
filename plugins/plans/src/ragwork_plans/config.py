"""Settings of plans."""

import attrs
from ragwork_hooks.settings import setting


@attrs.frozen(kw_only=True)
class PlansConfig:
    """``PLAN_…``: what a tenant has that nobody assigned a plan to."""

    default: str | None = setting(
        "PLAN_DEFAULT",
        None,
        "the plan of tenants without an assignment; unset: enterprise on the embedded database, else free",
        choices=("free", "pro", "enterprise"),
    )
