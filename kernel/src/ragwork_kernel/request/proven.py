"""Credentials that proved themselves in this process: they pass where an address as a whole is refused."""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from aiohttp import web
from ragwork_hooks.credentials import CredentialFormat

#: Credentials remembered: a few megabytes. The one not seen for longest goes first.
_REMEMBERED: Final = 20_000
#: Where a credential stands in a request, if its format names no other header.
_HEADERS: Final = ("Authorization", "X-API-Key")


class Proven:
    """Digests of credentials that were authenticated, until they fail. Looking asks nobody.

    It is no authentication: who passes is authenticated after it, as ever.
    """

    def __init__(self, formats: Sequence[CredentialFormat]) -> None:
        checked = [(known.prefix, known.well_formed) for known in formats if known.well_formed]
        self._well_formed = tuple(checked)
        headers = (*_HEADERS, *(known.header for known in formats))
        self._headers = tuple({name.lower(): name for name in headers}.values())
        self._key = secrets.token_bytes(32)
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    def knows(self, request: web.Request) -> bool:
        digest = self._digest(request)
        return digest is not None and digest in self._digests

    def note(self, request: web.Request) -> None:
        """The request's credential was authenticated."""
        digest = self._digest(request)
        if digest is None:
            return
        self._digests[digest] = None
        self._digests.move_to_end(digest)
        if len(self._digests) > _REMEMBERED:
            self._digests.popitem(last=False)

    def forget(self, request: web.Request) -> None:
        """The request's credential was refused."""
        digest = self._digest(request)
        if digest is not None:
            self._digests.pop(digest, None)

    def well_formed(self, request: web.Request) -> str | None:
        """What stands for the request's credential, if there is one and its form and checksum are right."""
        sent = self._sent(request)
        if len(sent) != 1:
            return None
        token = sent[0][1].strip().rpartition(" ")[2]
        digest = self._digest(request)
        if digest and any(token.startswith(prefix) and fits(token) for prefix, fits in self._well_formed):
            return digest.hex()
        return None

    def _sent(self, request: web.Request) -> list[tuple[str, str]]:
        return [(name, value) for name in self._headers for value in request.headers.getall(name, ())]

    def _digest(self, request: web.Request) -> bytes | None:
        sent = self._sent(request)
        if not sent:
            return None
        hashed = hashlib.blake2b(key=self._key, digest_size=16)
        for name, value in sent:
            hashed.update(f"{name}\0{value}\0".encode("utf-8", "surrogateescape"))
        return hashed.digest()
