"""Signed notes: what is said of a log, and who said it (the C2SP formats signed-note and tlog-checkpoint).

A checkpoint says how many records a tenant's log has and what their Merkle root is. A cut says the same of
the records that were pruned: the two differ in their first line, so one can't stand for the other.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal

import attrs

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

#: The signer's name in every note.
NAME: Final = "ragwork-audit"
_ED25519: Final = b"\x01"
KEY_ID_BYTES: Final = 4
_MAX_NOTE: Final = 4096
Kind = Literal["checkpoint", "cut"]


class InvalidNote(ValueError):
    """The note is not one of ours; the text says why."""


@attrs.frozen(kw_only=True)
class Statement:
    """What a note says. ``previous`` is the SHA-256 of the statement's predecessor in hex, ``""`` for the first.

    ``time`` is RFC 3339. ``low`` is the database's transaction id below which nothing is unsealed, on the database
    cluster ``cluster``: the sealer begins its next search there.
    """

    kind: Kind
    tenant_id: str
    size: int
    root: bytes
    time: str
    previous: str
    low: int
    cluster: str

    def body(self) -> str:
        """The signed text."""
        return (
            f"{NAME}/{self.kind}/{self.tenant_id}\n{self.size}\n{_b64(self.root)}\n"
            f"time {self.time}\nprevious {self.previous}\nlow {self.low}\ncluster {self.cluster}\n"
        )


def digest(note: str) -> str:
    """What the next statement calls ``previous``."""
    return hashlib.sha256(note.encode()).hexdigest()


def kind_of(note: str) -> Kind:
    """What the note says it is, believed by nobody."""
    return "cut" if "/cut/" in note.partition("\n")[0] else "checkpoint"


def month_of(note: str) -> str:
    """``YYYY-MM`` of a note that this log signed."""
    return next(line for line in note.split("\n") if line.startswith("time "))[5:12]


class Signer:
    """The log's private key, from 32 secret bytes."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed[:32]
        #: Vouches for rows before they are sealed; separate from the signature's key.
        self.row_key = hmac.digest(self._seed, b"ragwork audit row", hashlib.sha256)

    @cached_property
    def _private(self) -> "Ed25519PrivateKey":
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self._seed)

    @cached_property
    def public(self) -> bytes:
        """The raw public key, 32 bytes."""
        return self._private.public_key().public_bytes_raw()

    @cached_property
    def verifier_key(self) -> str:
        """The public key as verifiers take it: name, key id and key on one line."""
        return f"{NAME}+{_key_id(self.public).hex()}+{_b64(_ED25519 + self.public)}"

    @cached_property
    def row_key_id(self) -> bytes:
        """Tells which key vouches for a row."""
        return hashlib.sha256(self.row_key).digest()[:KEY_ID_BYTES]

    def sign(self, statement: Statement) -> str:
        """The signed note."""
        body = statement.body()
        signature = _key_id(self.public) + self._private.sign(body.encode())
        return f"{body}\n\u2014 {NAME} {_b64(signature)}\n"


class NoteVerifier:
    """Takes notes that one of several public keys signed."""

    def __init__(self, keys: Iterable[str], signer: Signer | None = None) -> None:
        """``keys`` are verifier keys as ``Signer.verifier_key`` writes them, besides that of ``signer``. Raises
        ``InvalidNote`` for another text.
        """
        self._given = dict(_parsed_key(key) for key in keys)
        self._signer = signer

    @cached_property
    def _keys(self) -> Mapping[bytes, bytes]:
        own = {} if self._signer is None else {_key_id(self._signer.public): self._signer.public}
        return self._given | own

    def open(self, note: str, kind: Kind, tenant_id: str) -> Statement:
        """What ``note`` says. Raises ``InvalidNote`` unless one of the keys signed it for this kind and tenant."""
        body, separator, signature_line = note.partition("\n\n")
        if not separator or len(note) > _MAX_NOTE:
            raise InvalidNote("is no signed note")
        body += "\n"
        self._check_signature(body, signature_line)
        statement = _parsed(body)
        if (statement.kind, statement.tenant_id) != (kind, tenant_id):
            raise InvalidNote(f"is the {statement.kind} of tenant {statement.tenant_id}")
        return statement

    def _check_signature(self, body: str, line: str) -> None:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        prefix = f"\u2014 {NAME} "
        if not line.startswith(prefix) or not line.endswith("\n"):
            raise InvalidNote("has no signature of an audit log")
        raw = _unb64(line.removeprefix(prefix).removesuffix("\n"))
        key_id = raw[:KEY_ID_BYTES]
        key = self._keys.get(key_id)
        if key is None:
            raise InvalidNote(f"is signed with the unknown key {key_id.hex()}")
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(raw[KEY_ID_BYTES:], body.encode())
        except InvalidSignature:
            raise InvalidNote("has a wrong signature") from None


def _parsed(body: str) -> Statement:
    lines = body.removesuffix("\n").split("\n")
    try:
        origin, size, root, time, previous, low, cluster = lines
        name, kind, tenant_id = origin.split("/", 2)
        statement = Statement(
            kind="cut" if kind == "cut" else "checkpoint",
            tenant_id=tenant_id,
            size=int(size),
            root=_unb64(root),
            time=time.removeprefix("time "),
            previous=previous.removeprefix("previous "),
            low=int(low.removeprefix("low ")),
            cluster=cluster.removeprefix("cluster "),
        )
    except ValueError:
        raise InvalidNote("has an unknown form") from None
    if name != NAME or statement.body() != body:
        raise InvalidNote("has an unknown form")
    return statement


def _parsed_key(text: str) -> tuple[bytes, bytes]:
    parts = text.strip().split("+", 2)
    try:
        name, key_id, key = parts[0], bytes.fromhex(parts[1]), _unb64(parts[2])
    except (IndexError, ValueError):
        raise InvalidNote(f"{text[:80]!r} is no verifier key") from None
    public = key.removeprefix(_ED25519)
    if name != NAME or len(public) != 32 or _key_id(public) != key_id:
        raise InvalidNote(f"{text[:80]!r} is no verifier key of an audit log")
    return key_id, public


def _key_id(public: bytes) -> bytes:
    return hashlib.sha256(NAME.encode() + b"\n" + _ED25519 + public).digest()[:KEY_ID_BYTES]


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _unb64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise InvalidNote("has an unknown form") from None
