"""Taking credentials out of HTTP exchanges before anything of them reaches a disk."""

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias
from urllib.parse import unquote_plus

_Fill: TypeAlias = Callable[[bytes], bytes]

#: What stands in a recorded request in place of a secret.
SCRUBBED: Final = "scrubbed"

#: A header with such a name carries a credential, whoever the vendor is.
_SECRET_HEADER: Final = re.compile(r"auth|cookie|credential|key|secret|signature|token", re.IGNORECASE)
#: A parameter of exactly such a name does, and a member of a JSON object.
_PARAMETER_NAMES: Final = (
    "access_token|api_key|apikey|assertion|auth|client_assertion|client_secret|id_token|key|password"
    "|refresh_token|sig|signature|token"
    "|x-amz-credential|x-amz-security-token|x-amz-signature|x-goog-credential|x-goog-signature"
)
#: Fewer: ``key`` and ``token`` mean much else in JSON.
_MEMBER_NAMES: Final = (
    "access_token|api_key|apikey|assertion|client_assertion|client_secret|id_token|password|private_key|refresh_token"
    "|aws_access_key_id|aws_secret_access_key|aws_session_token|accesskeyid|secretaccesskey|sessiontoken"
)
_PARAMETER: Final = re.compile(rf"((?:^|[?&])(?:{_PARAMETER_NAMES})=)([^&#\s]+)", re.IGNORECASE)
_MEMBER: Final = re.compile(rf'("(?:{_MEMBER_NAMES})"\s*:\s*")((?:[^"\\]|\\.)+)', re.IGNORECASE)
_SIGV4: Final = re.compile(r"(?:Credential=([^/,\s]+)/|Signature=([0-9a-f]+))")
_LONG_TERM_KEY: Final = re.compile(rb"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b")
#: A shorter value would also be a part of words that are no secret.
_MIN_CHARS: Final = 6


class Scrubber:
    """Knows the secrets of one recording: those that it was told, and those that it saw on their way.

    Requests are scrubbed to one fixed word, so that the next run's secrets give the same request. In answers each
    byte of a secret becomes an ``x``, so that the lengths on which a framing depends stay true (checksums do not).
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self._known = re.compile(rb"(?!)")
        for secret in secrets:
            if not secret:
                raise ValueError("an empty text is no secret")
            self._secrets.add(secret)
        self._compile()

    def learn(self, headers: Mapping[str, str], path: str, body: bytes) -> None:
        """Remember the credentials that a request carries: a service may repeat them in its answer."""
        found: set[str] = set()
        for name, value in headers.items():
            if _SECRET_HEADER.search(name):
                found.update((value, *value.split()))
                found.update(part for match in _SIGV4.findall(value) for part in match)
        found.update(_marked(path))
        self._add(found | _marked(body.decode("latin-1")))

    def learn_from_answer(self, body: bytes) -> None:
        """Remember the credentials that an answer brings: the next request may carry them anywhere."""
        self._add(_marked(body.decode("latin-1")))

    def path(self, raw: str) -> str:
        """A path with its query, without the values of parameters that are secret."""
        return self.request(_PARAMETER.sub(rf"\1{SCRUBBED}", raw).encode()).decode()

    def request(self, body: bytes) -> bytes:
        """The body of a request: every secret is the same word."""
        return self._scrub(body, lambda secret: SCRUBBED.encode())

    def answer(self, body: bytes) -> bytes:
        """The body of an answer, as long as it was."""
        return self._scrub(body, lambda secret: b"x" * len(secret))

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Those headers that carry no credential, by lower-case name."""
        return {
            name.lower(): self.request(value.encode(errors="surrogateescape")).decode(errors="replace")
            for name, value in headers.items()
            if not _SECRET_HEADER.search(name)
        }

    def _scrub(self, data: bytes, fill: _Fill) -> bytes:
        text = data.decode("latin-1")
        for pattern in (_MEMBER, _PARAMETER):
            text = pattern.sub(
                lambda match: match[1] + fill(match[2].encode("latin-1")).decode("latin-1"), text
            )
        data = text.encode("latin-1")
        data = self._known.sub(lambda match: fill(match[0]), data)
        return _LONG_TERM_KEY.sub(lambda match: fill(match[0]), data)

    def _add(self, found: set[str]) -> None:
        new = {each for each in found if len(each) >= _MIN_CHARS and not _is_scheme(each)} - self._secrets
        if new:
            self._secrets |= new
            self._compile()

    def _compile(self) -> None:
        # The longest first: a secret may be the beginning of another.
        patterns = [_pattern(secret) for secret in sorted(self._secrets, key=lambda s: (-len(s), s))]
        self._known = re.compile(b"|".join(patterns) or rb"(?!)", re.IGNORECASE)


def _marked(text: str) -> set[str]:
    """The values of parameters and members whose names say that they are secret."""
    found = {unquote_plus(value, errors="surrogateescape") for _, value in _PARAMETER.findall(text)}
    for _, value in _MEMBER.findall(text):
        with contextlib.suppress(ValueError):
            found.add(json.loads(f'"{value.encode("latin-1").decode(errors="replace")}"', strict=False))
    return found


def _pattern(secret: str) -> bytes:
    """``secret`` in every way in which it may be written: as it is, percent-encoded, or escaped in JSON, also twice."""
    return b"".join(_character(each) for each in secret)


def _character(each: str) -> bytes:
    raw = each.encode(errors="surrogateescape")
    if each.isascii() and (each.isalnum() or each in "-_.~"):
        return re.escape(raw)
    percent = b"".join(b"%%%02x" % byte for byte in raw)
    units = each.encode("utf-16-be", errors="surrogatepass")
    escaped = b"".join(rb"\\+u%02x%02x" % pair for pair in zip(units[::2], units[1::2], strict=True))
    ways = [rb"\\*" + re.escape(raw), percent, escaped, *([rb"\+"] if each == " " else [])]
    return b"(?:" + b"|".join(ways) + b")"


def _is_scheme(word: str) -> bool:
    """The first word of an Authorization header says how, not who."""
    return word.lower() in {"bearer", "basic", "digest", "aws4-hmac-sha256"}
