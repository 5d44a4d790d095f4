"""Bodies, queries and answers of the policy routes, as the wire contract names them."""

from datetime import datetime

import attrs
from ragwork_hooks.fields import choice, number, text

_LARGEST_PRIORITY = 1_000_000


@attrs.frozen(kw_only=True)
class PolicyListQuery:
    """Whether the built-in policies are listed too."""

    include_global: bool = True


@attrs.frozen(kw_only=True)
class PolicyResponse:
    """A policy. ``tenant_id`` is null for those that are built in."""

    id: str
    tenant_id: str | None
    name: str
    version: int
    effect: str
    resource_type: str
    action: str
    condition_json: dict[str, object] | None
    priority: int
    enabled: bool
    created_by: str | None
    created_at: datetime | None
    updated_at: datetime | None


@attrs.frozen(kw_only=True)
class PolicyListResponse:
    """All policies, in the order in which they are asked."""

    items: list[PolicyResponse]


@attrs.frozen(kw_only=True)
class PolicyCreateRequest:
    """A new policy; without a condition it always matches."""

    name: str = text(min_length=1, max_length=128)
    effect: str = choice("allow", "deny")
    resource_type: str = text(min_length=1, max_length=64)
    action: str = text(min_length=1, max_length=64)
    condition_json: dict[str, object] | None = None
    priority: int = number(default=100, ge=-_LARGEST_PRIORITY, le=_LARGEST_PRIORITY)
    enabled: bool = True


@attrs.frozen(kw_only=True)
class PolicyPatchRequest:
    """What to change of a policy; what is absent or null stays."""

    name: str | None = text(default=None, min_length=1, max_length=128)
    effect: str | None = choice("allow", "deny", default=None)
    resource_type: str | None = text(default=None, min_length=1, max_length=64)
    action: str | None = text(default=None, min_length=1, max_length=64)
    condition_json: dict[str, object] | None = None
    priority: int | None = number(default=None, ge=-_LARGEST_PRIORITY, le=_LARGEST_PRIORITY)
    enabled: bool | None = None


@attrs.frozen(kw_only=True)
class PolicySimulationRequest:
    """A question to the policies. Without ``principal`` the caller asks for itself; attributes that are
    absent are unknown.
    """

    resource_type: str = text(min_length=1, max_length=64)
    action: str = text(min_length=1, max_length=64)
    principal: dict[str, object] | None = None
    resource: dict[str, object] | None = None
    request: dict[str, object] | None = None
    context: dict[str, object] | None = None


@attrs.frozen(kw_only=True)
class TraceEntry:
    """How one policy met the question. ``result`` is ``true``, ``false``, ``unknown`` or ``invalid``."""

    policy_id: str
    name: str
    effect: str
    priority: int
    result: str
    matched: bool


@attrs.frozen(kw_only=True)
class PolicySimulationResponse:
    """The decision, the policy that made it, and every policy that matched."""

    allowed: bool
    reason: str
    matched_policy_id: str | None
    matched_policies: list[str]
    trace: list[TraceEntry]
