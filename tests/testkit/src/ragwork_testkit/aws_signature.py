"""Checking AWS Signature Version 4 as the services do, from the published description of the scheme."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, unquote

import attrs

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<id>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, "
    r"SignedHeaders=(?P<signed>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)


@attrs.frozen(kw_only=True)
class Signed:
    """What a good signature says."""

    access_key_id: str
    region: str
    service: str


@attrs.frozen(kw_only=True)
class SignedRequest:
    """A request as it arrived: ``raw_path`` still encoded, header names in lower case."""

    method: str
    raw_path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


def verify(request: SignedRequest, secrets: Mapping[str, str]) -> Signed | None:
    """Who signed ``request``; ``None`` when nobody of ``secrets`` (key id → secret) did, or another request."""
    found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    secret = secrets.get(found["id"]) if found else None
    if found is None or secret is None or "host" not in found["signed"].split(";"):
        return None
    scope = f"{found['day']}/{found['region']}/{found['service']}/aws4_request"
    canonical = _canonical(request, found["signed"], is_s3=found["service"] == "s3")
    stamp = request.headers.get("x-amz-date", "")
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = b"AWS4" + secret.encode()
    for part in (found["day"], found["region"], found["service"], "aws4_request", text):
        key = hmac.digest(key, part.encode(), "sha256")
    if not hmac.compare_digest(key.hex(), found["signature"]):
        return None
    return Signed(access_key_id=found["id"], region=found["region"], service=found["service"])


def _canonical(request: SignedRequest, signed: str, *, is_s3: bool) -> str:
    pairs = sorted((_quoted(k), _quoted(v)) for k, v in parse_qsl(request.query, keep_blank_values=True))
    headers = "".join(
        f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in signed.split(";")
    )
    return "\n".join(
        (
            request.method,
            # Every service but S3 encodes the path a second time.
            quote(unquote(request.raw_path) if is_s3 else request.raw_path, safe="/-_.~"),
            "&".join(f"{key}={value}" for key, value in pairs),
            headers,
            signed,
            hashlib.sha256(request.body).hexdigest(),
        )
    )


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")
