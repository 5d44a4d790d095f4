"""What one process does to keep the log: its parts, its timers and its end."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from ragwork_hooks.errors import ConfigError
from ragwork_hooks.services import Services

from ragwork_audit.checking.verification import Report, Verification, Witnesses, summary
from ragwork_audit.config import AuditConfig
from ragwork_audit.log.audit_log import PostgresAuditLog
from ragwork_audit.log.record import RowAuthentication
from ragwork_audit.log.repeat_suppression import RepeatSuppressor
from ragwork_audit.pruning import Pruning
from ragwork_audit.sealing.anchors import AnchorFiles, DamagedAnchors, Journal, Unsealed
from ragwork_audit.sealing.sealer import Sealer
from ragwork_audit.sealing.signed_notes import InvalidNote, NoteVerifier, Signer

log = logging.getLogger(__name__)


class AuditService:
    """The parts of the log in this process. ``seed`` are the 32 secret bytes of the signing key."""

    def __init__(self, services: Services, config: AuditConfig, seed: bytes) -> None:
        folder = Path(config.anchor_dir) if config.anchor_dir else services.data_dir / "audit"
        self._services = services
        self._journal = Journal(folder)
        self._suppressor = RepeatSuppressor(services.clock.monotonic)
        self.signer = Signer(seed)
        self.anchors = AnchorFiles(folder)
        self._verifier = _verifier(config, self.signer)
        self._row_authentication = RowAuthentication(self.signer)
        self.sealer = Sealer(
            services, self.signer, self._verifier, self._row_authentication, self._journal, self.anchors
        )
        self.log = PostgresAuditLog(
            self._row_authentication, self._journal, self._suppressor, self.sealer.mark, services.redactor
        )
        self.pruning = Pruning(services, self.signer, self._verifier, self.anchors, config.retention_days)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Open the journal; at the end seal what this process wrote."""
        await asyncio.to_thread(self._open)
        try:
            yield
        finally:
            try:
                await self.write_floods(every=True)
                await self.sealer.seal_marked()
            except Exception:
                log.exception("audit records of this process wait for another one to seal them")
            self._journal.close()

    async def write_floods(self, every: bool = False) -> None:
        """Record what floods that are over still owe."""
        for tenant_id, event in self._suppressor.ended(every):
            async with self._services.db.tenant(tenant_id) as tx:
                await self.log.append_repeats(tx, event)

    async def tick(self) -> None:
        """Write and seal what there is."""
        await self.write_floods()
        await self.sealer.seal_marked()

    async def probe(self) -> None:
        """Raises when anchors can't be written."""
        self.sealer.check()

    async def tenants(self) -> list[str]:
        """Every tenant that has, or by its anchors had, a log."""
        async with self._services.db.anonymous() as tx:
            rows = await tx.fetch("SELECT t.id FROM audit.tenants() AS t(id)")
        anchored = await asyncio.to_thread(self.anchors.tenants)
        witnessed = await asyncio.to_thread(self.anchors.unsealed)
        return sorted({row["id"] for row in rows} | set(anchored) | {w.tenant_id for w in witnessed})

    async def verify(self, tenants: Sequence[str]) -> list[Report]:
        """Verify these tenants' logs against database and anchors."""
        unsealed = await asyncio.to_thread(self.anchors.unsealed)
        return [await self._verify(tenant_id, unsealed) for tenant_id in tenants]

    async def verify_all(self) -> None:
        """The scheduled verification: what it finds is an error in the log and a metric."""
        found = summary(await self.verify(await self.tenants()))
        self._services.metrics.gauge(
            "audit_valid", "1 when the last verification of every tenant's audit log found nothing wrong",
            1.0 if found["valid"] else 0.0,
        )  # fmt: skip
        if not found["valid"]:
            log.error("the audit log does not verify: %s", found["bad"])

    async def _verify(self, tenant_id: str, unsealed: Sequence[Unsealed]) -> Report:
        # The files first: what they witness is in any later snapshot of the database.
        witnesses = await asyncio.to_thread(self._witnesses, tenant_id, unsealed)
        async with self._services.db.tenant(tenant_id, "read") as tx:
            return await Verification(self._verifier, self._row_authentication, witnesses).run(tx)

    def _witnesses(self, tenant_id: str, unsealed: Sequence[Unsealed]) -> Witnesses:
        own = [entry for entry in unsealed if entry.tenant_id == tenant_id]
        try:
            return Witnesses(notes=list(self.anchors.notes(tenant_id)), unsealed=own)
        except DamagedAnchors as error:
            return Witnesses(unsealed=own, damage=str(error))

    def _open(self) -> None:
        try:
            self.anchors.prepare()
            self._journal.open()
        except OSError as error:
            raise ConfigError(
                "AUDIT_ANCHOR_DIR", f"can't be written: {error}", "name a folder that this process may write"
            ) from None
        for tenant_id in self._journal.tenants():
            self.sealer.mark(tenant_id)
        log.debug("audit log is signed as %s", self.signer.verifier_key)


def _verifier(config: AuditConfig, signer: Signer) -> NoteVerifier:
    try:
        return NoteVerifier(config.retired_keys.split(), signer)
    except InvalidNote as error:
        raise ConfigError(
            "AUDIT_RETIRED_PUBLIC_KEYS", str(error), "write keys as `ragwork audit public-key` prints them"
        ) from None
