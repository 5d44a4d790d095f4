"""Whose credentials sign a call: the operator's, or those that a tenant has in its own secrets."""

from collections.abc import Mapping

import attrs
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.services import Secrets
from ragwork_toolkit.vendor.tenant_credentials import secret_name, tenant_secret

PREFIX = "BEDROCK_CREDENTIALS"


@attrs.frozen(kw_only=True)
class AwsKeys:
    """An access key. Equal keys share a client."""

    access_key_id: str
    secret_access_key: str = attrs.field(repr=False)
    session_token: str | None = attrs.field(default=None, repr=False)


def tenant_keys(secrets: Secrets, tenant_id: str, reference: str) -> AwsKeys:
    """The keys behind a corpus' ``credentials_ref``.

    The secret is JSON: ``tenant``, ``aws_access_key_id``, ``aws_secret_access_key`` and, if need be,
    ``aws_session_token``. Raises ``ProviderError`` AWS_CONFIG_MISSING naming the secret.
    """
    try:
        found = tenant_secret(secrets, PREFIX, tenant_id, reference)
    except LookupError as error:
        raise missing(str(error)) from None
    name = secret_name(PREFIX, tenant_id, reference)
    token = found.get("aws_session_token")
    return AwsKeys(
        access_key_id=_part(found, name, "aws_access_key_id"),
        secret_access_key=_part(found, name, "aws_secret_access_key"),
        session_token=token if isinstance(token, str) else None,
    )


def operator_keys(secrets: Secrets) -> AwsKeys | None:
    """The operator's access key, ``None`` when the SDK shall find credentials by itself (a profile, the
    machine's role). Raises ``ProviderError`` AWS_CONFIG_MISSING when half of a key is set.
    """
    access, secret = secrets.value("AWS_ACCESS_KEY_ID"), secrets.value("AWS_SECRET_ACCESS_KEY")
    if access is None and secret is None:
        return None
    if access is None or secret is None:
        raise missing(f"AWS_{'ACCESS_KEY_ID' if access is None else 'SECRET_ACCESS_KEY'} is not set")
    return AwsKeys(
        access_key_id=access, secret_access_key=secret, session_token=secrets.value("AWS_SESSION_TOKEN")
    )


def missing(message: str) -> ProviderError:
    """Something that a person must configure."""
    return ProviderError("AWS_CONFIG_MISSING", message)


def _part(found: Mapping[str, object], name: str, key: str) -> str:
    value = found.get(key)
    if not isinstance(value, str) or not value:
        raise missing(f"secret {name} has no {key}")
    return value
