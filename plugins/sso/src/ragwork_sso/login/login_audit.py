"""Audit records of logins. Public routes have no caller, so the kernel can't write these."""

from collections.abc import Mapping
from typing import Any

from ragwork_hooks.audit import AuditEvent, AuditLog
from ragwork_hooks.errors import Problem
from ragwork_hooks.http import Request
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Transaction
from ragwork_toolkit.audit_records import origin_of


class LoginRecords:
    """Writes them, where there is an audit log."""

    def __init__(self, services: Services, log: AuditLog | None) -> None:
        self._services = services
        self._log = log

    async def did(
        self,
        tx: Transaction,
        request: Request[Any, Any],
        event: str,
        user_id: str,
        metadata: Mapping[str, object],
        *,
        session_id: str | None = None,
    ) -> None:
        """In the transaction of what happened; ``session_id`` once there is a session."""
        if self._log is None:
            return
        await self._log.append(
            tx,
            AuditEvent(
                type=event,
                outcome="success",
                actor_type="sso_session" if session_id else "tenant_user",
                actor_id=session_id or user_id,
                resource_type="user",
                resource_id=user_id,
                metadata=metadata,
                origin=origin_of(request),
            ),
        )

    async def failed(
        self, request: Request[Any, Any], tenant_id: str, provider_id: str, problem: Problem
    ) -> None:
        """A login that was refused. Floods are summed up by the log."""
        event = AuditEvent(
            type="identity.sso.login.failure",
            outcome="failure",
            actor_type="anonymous",
            resource_type="identity_provider",
            resource_id=provider_id,
            metadata={"reason": problem.message},
            error_code=problem.code,
            origin=origin_of(request),
        )
        if self._log is None or not self._log.takes(tenant_id, event):
            return
        async with self._services.db.tenant(tenant_id) as tx:
            await self._log.append(tx, event)
