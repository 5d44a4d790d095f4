"""Speech of answers: made after the answer, kept as a blob, reached by an unguessable id that expires.

The id opens nothing by itself: who the answer was made for must still be there, and may still read every document
that the answer goes back to.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from datetime import UTC, datetime, timedelta

import attrs
from ragwork_hooks.auth import Directory, Principal
from ragwork_hooks.documents import DocumentCatalog
from ragwork_hooks.errors import ProviderError, not_found
from ragwork_hooks.http import File
from ragwork_hooks.provider_kinds import TTS
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Row, Transaction

from ragwork_agent.schemas import Speech
from ragwork_agent.sessions.session_store import SessionKey
from ragwork_agent.speech.listeners import Present, kept

LIFETIME = timedelta(hours=1)
_MAC, _EXPIRY, _RANDOM = 32, 8, 16
_CODES = frozenset({"TTS_CONFIG_MISSING", "TTS_AUTH_ERROR", "TTS_ERROR", "INTEGRATION_UNAVAILABLE"})

_KEEP = """
INSERT INTO agent.audio (tenant_id, key, user_id, session_id, turn, listeners, mime, expires_at)
VALUES (ragwork.tenant(), $1, $2, $3, $4, $5, $6, $7)"""
_EXPIRED = """
DELETE FROM agent.audio WHERE tenant_id = ragwork.tenant() AND key IN (
    SELECT key FROM agent.audio WHERE tenant_id = ragwork.tenant() AND expires_at <= now() LIMIT 20
    FOR UPDATE SKIP LOCKED)
RETURNING key"""
_OF_SESSION = """
DELETE FROM agent.audio WHERE tenant_id = ragwork.tenant() AND user_id = $1 AND session_id = $2
RETURNING key"""
# Without its message, or of a release that did not note the turn, nobody could say what it quotes.
_SPOKEN = """
SELECT a.mime, a.listeners, m.sources FROM agent.audio a
JOIN agent.messages m ON m.tenant_id = a.tenant_id AND m.user_id = a.user_id
    AND m.session_id = a.session_id AND m.turn = a.turn AND m.role = 'assistant'
WHERE a.tenant_id = ragwork.tenant() AND a.key = $1 AND a.expires_at > now() AND a.listeners IS NOT NULL"""


@attrs.frozen(kw_only=True)
class AudioId:
    """What an audio id says: whose blob, under which key, until when."""

    tenant_id: str
    key: str
    expires_at: datetime


class AudioIdSigner:
    """Audio ids: tenant, random key and expiry under a MAC, so that nobody makes or prolongs one."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self, tenant_id: str, expires_at: datetime) -> tuple[str, AudioId]:
        """A fresh id and what it stands for."""
        random = secrets.token_bytes(_RANDOM)
        body = int(expires_at.timestamp()).to_bytes(_EXPIRY, "big") + random + tenant_id.encode()
        audio_id = base64.urlsafe_b64encode(self._mac(body) + body).rstrip(b"=").decode()
        return audio_id, AudioId(tenant_id=tenant_id, key=f"audio/{random.hex()}", expires_at=expires_at)

    def read(self, audio_id: str, now: datetime) -> AudioId | None:
        """The ticket of ``audio_id``; ``None`` when it is forged, malformed or over."""
        try:
            raw = base64.b64decode(audio_id + "=" * (-len(audio_id) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        mac, body = raw[:_MAC], raw[_MAC:]
        if len(body) <= _EXPIRY + _RANDOM or not hmac.compare_digest(mac, self._mac(body)):
            return None
        expires_at = datetime.fromtimestamp(int.from_bytes(body[:_EXPIRY], "big"), UTC)
        if expires_at <= now:
            return None
        return AudioId(
            tenant_id=body[_EXPIRY + _RANDOM :].decode(),
            key=f"audio/{body[_EXPIRY : _EXPIRY + _RANDOM].hex()}",
            expires_at=expires_at,
        )

    def _mac(self, body: bytes) -> bytes:
        return hmac.new(self._key, b"ragwork audio id\0" + body, hashlib.sha256).digest()


def audio_url(base_url: str, audio_id: str) -> str:
    """Where a sound is fetched; ``base_url`` may end with the API's version or not."""
    return f"{base_url.rstrip('/').removesuffix('/v1')}/v1/audio/{audio_id}.mp3"


class SpeechService:
    """Speaks answers with the configured provider."""

    def __init__(
        self,
        services: Services,
        catalog: DocumentCatalog,
        directory: Directory | None,
        *,
        provider: str,
        base_url: str | None,
        key: bytes,
    ) -> None:
        self._services = services
        self._catalog = catalog
        self._present = Present(services=services, directory=directory)
        self._provider = provider
        self._base_url = base_url
        self._audio_ids = AudioIdSigner(key)

    async def speak(
        self, principal: Principal, key: SessionKey, turn: int, text: str, *, origin: str
    ) -> Speech:
        """The speech of ``text``, the answer of the turn, or why there is none. A failure never fails the run.
        ``origin`` is this service as the caller addressed it, for the URL.
        """
        tenant_id = principal.tenant_id
        if self._provider == "none":
            return Speech(code="TTS_CONFIG_MISSING", message="no speech provider is set (TTS_PROVIDER)")
        try:
            synthesizer = await self._services.providers.open(TTS, self._provider)
            audio = await synthesizer.synthesize(text)
        except ProviderError as error:
            code = error.code if error.code in _CODES else "TTS_ERROR"
            return Speech(code=code, message=error.message)
        except Exception as error:
            self._services.metrics.count(
                "speech_failures_total", "Answers that could not be spoken", kind=type(error).__name__
            )
            return Speech(code="TTS_ERROR", message="the answer could not be spoken")
        expires_at = self._services.clock.now() + LIFETIME
        audio_id, signed_id = self._audio_ids.issue(tenant_id, expires_at)
        async with self._services.db.tenant(tenant_id) as tx:
            columns = (key.user_id, key.session_id, turn, kept(principal), audio.mime, expires_at)
            await tx.execute(_KEEP, signed_id.key, *columns)
            await self._services.blob.put(tx, signed_id.key, audio.data)
            for row in await tx.fetch(_EXPIRED):
                await self._services.blob.delete(tx, row["key"])
        return Speech(
            audio_id=audio_id, audio_url=audio_url(self._base_url or origin, audio_id), mime=audio.mime
        )

    async def fetch(self, audio_id: str) -> File:
        """The sound behind an id. Raises ``Problem`` 404 for one that is forged, over or erased, and for one that
        may no longer be heard.
        """
        signed_id = self._audio_ids.read(audio_id, self._services.clock.now())
        if signed_id is None:
            raise not_found("audio", audio_id)
        async with self._services.db.tenant(signed_id.tenant_id, "read") as tx:
            row = await tx.fetchrow(_SPOKEN, signed_id.key)
            if row is None or not await self._may_hear(tx, row):
                raise not_found("audio", audio_id)
            data = await self._services.blob.get(tx, signed_id.key)
        if data is None:
            raise not_found("audio", audio_id)
        return File(data=data, mime=row["mime"], headers={"Cache-Control": "private, no-store"})

    async def _may_hear(self, tx: Transaction, row: Row) -> bool:
        """Whether who it was made for is there and may read all that it goes back to, today."""
        principal = await self._present.principal(tx, row["listeners"])
        if principal is None:
            return False
        sources = frozenset(row["sources"])
        return not sources or sources <= await self._catalog.readable(tx, principal, sorted(sources))

    async def forget(self, tx: Transaction, key: SessionKey) -> None:
        """Erase all speech of a session."""
        for row in await tx.fetch(_OF_SESSION, key.user_id, key.session_id):
            await self._services.blob.delete(tx, row["key"])
