"""Whose credentials sign a call: the operator's, or those that a tenant has in its own secrets."""

import json
import re
from collections.abc import Mapping

import attrs
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.plugin import Secrets

PREFIX = "BEDROCK_CREDENTIALS"


@attrs.frozen(kw_only=True)
class Keys:
    """An access key. Equal keys share a client."""

    access_key_id: str
    secret_access_key: str = attrs.field(repr=False)
    session_token: str | None = attrs.field(default=None, repr=False)


def secret_name(tenant_id: str, reference: str) -> str:
    """The secret that ``reference`` means to this tenant and to no other."""
    parts = (re.sub(r"[^A-Z0-9]", "_", part.upper()) for part in (tenant_id, reference))
    return "_".join((PREFIX, *parts))


def tenant_keys(secrets: Secrets, tenant_id: str, reference: str) -> Keys:
    """The keys behind a corpus' ``credentials_ref``.

    The secret is JSON: ``tenant``, ``aws_access_key_id``, ``aws_secret_access_key`` and, if need be,
    ``aws_session_token``. Two tenants' secrets may have one name; ``tenant`` says whose it is, and
    another's looks the same as none. Raises ``ProviderError`` AWS_CONFIG_MISSING naming the secret.
    """
    name = secret_name(tenant_id, reference)
    found = _object(secrets.value(name))
    if found.get("tenant") != tenant_id:
        raise missing(f"credentials_ref {reference!r}: no secret {name} of tenant {tenant_id!r} is set")
    token = found.get("aws_session_token")
    return Keys(
        access_key_id=_part(found, name, "aws_access_key_id"),
        secret_access_key=_part(found, name, "aws_secret_access_key"),
        session_token=token if isinstance(token, str) else None,
    )


def operator_keys(secrets: Secrets) -> Keys | None:
    """The operator's access key, ``None`` when the SDK shall find credentials by itself (a profile, the
    machine's role). Raises ``ProviderError`` AWS_CONFIG_MISSING when half of a key is set.
    """
    access, secret = secrets.value("AWS_ACCESS_KEY_ID"), secrets.value("AWS_SECRET_ACCESS_KEY")
    if access is None and secret is None:
        return None
    if access is None or secret is None:
        raise missing(f"AWS_{'ACCESS_KEY_ID' if access is None else 'SECRET_ACCESS_KEY'} is not set")
    return Keys(
        access_key_id=access, secret_access_key=secret, session_token=secrets.value("AWS_SESSION_TOKEN")
    )


def missing(message: str) -> ProviderError:
    """Something that a person must configure."""
    return ProviderError("AWS_CONFIG_MISSING", message)


def _object(text: str | None) -> Mapping[str, object]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _part(found: Mapping[str, object], name: str, key: str) -> str:
    value = found.get(key)
    if not isinstance(value, str) or not value:
        raise missing(f"secret {name} has no {key}")
    return value
