"""Bodies, queries and answers of the policy routes, as the wire contract names them."""

from datetime import datetime

import attrs
from ragwork_hooks.fields import choice, free_json, number, text
from ragwork_toolkit.paging import PageQuery

_LARGEST_PRIORITY = 1_000_000
#: More than a body has: the language refuses what is too large in words of its own.
_LARGEST_CONDITION = 16_777_216


@attrs.frozen(kw_only=True)
class PolicyListQuery(PageQuery):
    """Which policies to list."""

    #: Whether the built-in policies are listed, too.
    include_global: bool = True


@attrs.frozen(kw_only=True)
class PolicyResponse:
    """A policy. ``tenant_id`` is null for those that are built in."""

    #: The policy. Example: "2f0c6b1e-3f38-4c6c-8d51-3c5b4d1a7b42"
    id: str
    #: The tenant; null for a built-in one. Example: "t1"
    tenant_id: str | None
    #: What people call it; unique with its version. Example: "deny-high-sensitivity"
    name: str
    #: How often it was changed, from 1. Example: 1
    version: int
    #: Whether it allows or denies. Example: "deny"
    effect: str
    #: What it is about: document, corpus, run, admin, ops, audit, or `*`. Example: "document"
    resource_type: str
    #: What is done: read, write, delete, reindex, run, manage, or `*`. Example: "read"
    action: str
    #: When it matches; null for always. Example: {"eq": [{"var": "resource.labels.sensitivity"}, "high"]}
    condition_json: dict[str, object] | None
    #: The higher is asked first. Example: 200
    priority: int
    #: Whether it is asked at all. Example: true
    enabled: bool
    #: Who made it. Example: "k_3f9a"
    created_by: str | None
    #: When it was made.
    created_at: datetime | None
    #: When it last changed.
    updated_at: datetime | None


@attrs.frozen(kw_only=True)
class PolicyListResponse:
    """Policies, in the order in which they are asked."""

    #: The policies.
    items: list[PolicyResponse]


@attrs.frozen(kw_only=True)
class PolicyCreateRequest:
    """A new policy; without a condition it always matches."""

    #: What people call it; unique with its version. Example: "deny-high-sensitivity"
    name: str = text(min_length=1, max_length=128)
    #: Whether it allows or denies. Example: "deny"
    effect: str = choice("allow", "deny")
    #: What it is about: document, corpus, run, admin, ops, audit, or `*`. Example: "document"
    resource_type: str = text(min_length=1, max_length=64)
    #: What is done: read, write, delete, reindex, run, manage, or `*`. Example: "read"
    action: str = text(min_length=1, max_length=64)
    #: When it matches; null for always. Example: {"eq": [{"var": "resource.labels.sensitivity"}, "high"]}
    condition_json: dict[str, object] | None = free_json(default=None, max_bytes=_LARGEST_CONDITION)
    #: The higher is asked first. Example: 200
    priority: int = number(default=100, ge=-_LARGEST_PRIORITY, le=_LARGEST_PRIORITY)
    #: Whether it is asked at all. Example: true
    enabled: bool = True


@attrs.frozen(kw_only=True)
class PolicyPatchRequest:
    """What to change of a policy; what is absent or null stays."""

    #: What people call it.
    name: str | None = text(default=None, min_length=1, max_length=128)
    #: Whether it allows or denies.
    effect: str | None = choice("allow", "deny", default=None)
    #: What it is about.
    resource_type: str | None = text(default=None, min_length=1, max_length=64)
    #: What is done.
    action: str | None = text(default=None, min_length=1, max_length=64)
    #: When it matches.
    condition_json: dict[str, object] | None = free_json(default=None, max_bytes=_LARGEST_CONDITION)
    #: The higher is asked first. Example: 300
    priority: int | None = number(default=None, ge=-_LARGEST_PRIORITY, le=_LARGEST_PRIORITY)
    #: Whether it is asked at all.
    enabled: bool | None = None


@attrs.frozen(kw_only=True)
class PolicySimulationRequest:
    """A question to the policies. Without ``principal`` the caller asks for itself; attributes that are
    absent are unknown.
    """

    #: What it is about. Example: "document"
    resource_type: str = text(min_length=1, max_length=64)
    #: What is done. Example: "read"
    action: str = text(min_length=1, max_length=64)
    #: Who asks. Example: {"role": "reader"}
    principal: dict[str, object] | None = None
    #: What is acted on. Example: {"labels": {"sensitivity": "high"}}
    resource: dict[str, object] | None = None
    #: The request's facts.
    request: dict[str, object] | None = None
    #: Anything else that policies read.
    context: dict[str, object] | None = None


@attrs.frozen(kw_only=True)
class TraceEntry:
    """How one policy met the question. ``result`` is ``true``, ``false``, ``unknown`` or ``invalid``."""

    #: The policy. Example: "2f0c6b1e-3f38-4c6c-8d51-3c5b4d1a7b42"
    policy_id: str
    #: What people call it. Example: "deny-high-sensitivity"
    name: str
    #: `allow` or `deny`. Example: "deny"
    effect: str
    #: Its place in the order. Example: 200
    priority: int
    #: What its condition came to: `true`, `false`, `unknown` or `invalid`. Example: "true"
    result: str
    #: Whether it took part in the decision. Example: true
    matched: bool


@attrs.frozen(kw_only=True)
class PolicySimulationResponse:
    """The decision, the policy that made it, and every policy that matched."""

    #: The decision. Example: false
    allowed: bool
    #: `policy_deny`, `policy_allow`, `default_deny`, `default_allow`, `policy_invalid` or `abac_disabled`.
    #: Example: "policy_deny"
    reason: str
    #: The policy that decided; null for none. Example: "2f0c6b1e-3f38-4c6c-8d51-3c5b4d1a7b42"
    matched_policy_id: str | None
    #: Every policy that matched. Example: ["2f0c6b1e-3f38-4c6c-8d51-3c5b4d1a7b42"]
    matched_policies: list[str]
    #: Every policy that was asked.
    trace: list[TraceEntry]
