"""Credentials that proved themselves in this process: they pass where an address as a whole is refused."""

import hashlib
import secrets
from collections import OrderedDict
from typing import Final

from aiohttp import web

#: Credentials remembered: a few megabytes. The one not seen for longest goes first.
_REMEMBERED: Final = 20_000
#: Where a credential stands in a request.
_HEADERS: Final = ("Authorization", "X-API-Key")


class Proven:
    """Digests of credentials that were authenticated, until they fail. Looking asks nobody.

    It is no authentication: who passes is authenticated after it, as ever.
    """

    def __init__(self) -> None:
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

    def _digest(self, request: web.Request) -> bytes | None:
        sent = [(name, value) for name in _HEADERS for value in request.headers.getall(name, ())]
        if not sent:
            return None
        hashed = hashlib.blake2b(key=self._key, digest_size=16)
        for name, value in sent:
            hashed.update(f"{name}\0{value}\0".encode("utf-8", "surrogateescape"))
        return hashed.digest()
