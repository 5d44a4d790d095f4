"""What may not reach a log, a record or an error's text: credentials, found by form, by value and by name.

The forms of the platform's own credentials are declared by the plugins that mint them; those of the rest of the
world stand here. One redactor, built from both, serves logs and audit alike.
"""

import re
from collections.abc import Iterable
from typing import Final

from ragwork_hooks.credentials import CredentialFormat

REDACTED: Final = "[REDACTED]"
#: A shorter value is no credential, and would black out half a text.
MIN_VALUE: Final = 8

_NAMES: Final = (
    "access_key", "access_token", "api_key", "assertion", "auth", "auth_header", "authorization", "bearer",
    "client_assertion", "client_secret", "cookie", "credential", "enroll_token", "id_token", "passphrase", "passwd",
    "password", "pepper", "private_key", "proxy_authorization", "refresh_token", "sdk_service_token", "secret",
    "secret_access_key", "secret_key", "service_token", "session_token", "set_cookie", "signing_key",
    "signing_secret", "subject_token", "token", "webhook_secret", "x_api_key",
)  # fmt: skip
_KEYS: Final = frozenset(
    {name.replace("_", "") + plural for name in (*_NAMES, "content", "text") for plural in ("", "s")}
)
# ``auth`` alone is a word of prose, and ``credential`` an id more often than not.
_ASSIGNED: Final = "|".join(
    name.replace("_", "[-_]?") for name in sorted(_NAMES, key=len, reverse=True) if name != "auth"
)
#: Credentials of other parties: OpenAI, Stripe and kin, webhooks, GitHub, Slack, Google, AWS.
_ELSEWHERE: Final = (
    r"(?:sk|pk|rk)[-_][\w-]{16,}", r"whsec_[\w+/=-]{8,}", r"gh[pousr]_\w{20,}", r"github_pat_\w{20,}",
    r"xox[a-z]-[\w-]{10,}", r"AIza[\w-]{30,}", r"A[KS]IA[0-9A-Z]{16}",
)  # fmt: skip
# In this order: what swallows most comes first, so that no half of a credential is left over.
_BEFORE: Final = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*KEY-----|\Z)", re.S), REDACTED),
    # A password may have a slash and an @ in it: its userinfo ends at the last one.
    (re.compile(r"(://)[^\s:/?#@\"'<>]{0,256}:[^\s\"'<>]{1,512}@(?=[\w.\[-])"), rf"\1{REDACTED}@"),
    (re.compile(r"(://)[^\s/?#\"'<>]{1,512}@"), rf"\1{REDACTED}@"),
    (re.compile(r"\b(authorization\b\\?[\"']?\s*[:=]\s*\\?[\"']?)[^\"'\r\n,}]+", re.I), rf"\1{REDACTED}"),
    (re.compile(r"\b(bearer\s+|dpop\s+)[\w.~+/=-]{4,}", re.I), rf"\1{REDACTED}"),
    (re.compile(r"\b((?i:basic)\s+)(?=[A-Za-z0-9+/]+[A-Z0-9+/=])[A-Za-z0-9+/=]{8,}"), rf"\1{REDACTED}"),
)
_AFTER: Final = (
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*)*", re.A), REDACTED),
    (
        re.compile(
            rf"\b((?:{_ASSIGNED})\\?[\"']?\s*[:=]\s*b?\\?[\"']?)(?!\[REDACTED)[^\s\"'&,;}})\]]+", re.I
        ),
        rf"\1{REDACTED}",
    ),
)
_TRIGGER: Final = rf"://|-----BEGIN|bearer|dpop|basic|[spr]k[-_]|whsec|gh[pousr]_|github_pat|xox|aiza|a[ks]ia|eyj|{_ASSIGNED}"


class Redactor:
    """Takes credentials out of texts. It knows those of the world from the start, and what it is taught."""

    def __init__(self) -> None:
        self._formats: dict[str, CredentialFormat] = {}
        self._values: set[str] = set()
        self._build()

    def learn(self, formats: Iterable[CredentialFormat], values: Iterable[str] = ()) -> None:
        """Add the forms that plugins declare, and the ``values`` of configured secrets."""
        self._formats |= {known.prefix: known for known in formats}
        self._values |= {value for value in values if len(value) >= MIN_VALUE and not _is_word(value)}
        self._build()

    def text(self, text: str) -> str:
        """``text`` without credentials. What the platform minted keeps its prefix, which says what it was."""
        if self._trigger.search(text) is None:
            return text
        for shape, replacement in self._shapes:
            text = shape.sub(replacement, text)
        return text

    def _build(self) -> None:
        own = [
            re.escape(known.prefix) for known in sorted(self._formats.values(), key=lambda f: -len(f.prefix))
        ]
        values = [re.escape(value) for value in sorted(self._values, key=len, reverse=True)]
        shapes = [*_BEFORE]
        if values:
            shapes.insert(0, (re.compile("|".join(values)), REDACTED))
        if own:
            forms = (f"({re.escape(f.prefix)})(?:{f.rest})" for f in self._formats.values())
            shapes += [(re.compile(form, re.A), rf"\1{REDACTED}") for form in forms]
        shapes.append((re.compile(rf"\b(?:{'|'.join(_ELSEWHERE)})", re.A), REDACTED))
        self._shapes = (*shapes, *_AFTER)
        self._trigger = re.compile("|".join([_TRIGGER, *own, *values]), re.I)


def _is_word(value: str) -> bool:
    """``postgres`` as a password is in half of all texts."""
    return value.isalpha() and len(value) < 2 * MIN_VALUE


def names_a_secret(key: str) -> bool:
    """Whether what stands under this name is a credential, or somebody's text: ``clientSecret``, ``X-Api-Key``."""
    return key.lower().replace("-", "").replace("_", "").replace(" ", "") in _KEYS
