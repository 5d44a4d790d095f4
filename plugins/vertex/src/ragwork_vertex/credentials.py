"""Whose credentials a call carries: the operator's, or those that a tenant has in its own secrets."""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.services import Secrets
from ragwork_toolkit.vendor.tenant_credentials import secret_name, tenant_secret

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

PREFIX = "VERTEX_CREDENTIALS"
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
#: Tenants' credentials that stay loaded, each with its access token.
_KEPT = 256


@attrs.frozen(kw_only=True)
class GoogleIdentity:
    """Who calls. ``key`` tells identities apart and holds no secret."""

    key: str
    credentials: "Credentials" = attrs.field(repr=False, eq=False)


class Identities:
    """The identities of one process. The methods block and belong in a thread; any thread may call."""

    def __init__(self, secrets: Secrets, operators_file: str | None) -> None:
        self._secrets = secrets
        self._operators_file = operators_file
        self._lock = threading.Lock()
        self._operator: GoogleIdentity | None = None
        self._tenants: OrderedDict[str, GoogleIdentity] = OrderedDict()

    def operator(self) -> GoogleIdentity:
        """The operator's. Raises what ``operator_credentials`` does."""
        with self._lock:
            if self._operator is None:
                made = operator_credentials(self._operators_file)
                self._operator = GoogleIdentity(key="operator", credentials=made)
            return self._operator

    def tenant(self, tenant_id: str, reference: str) -> GoogleIdentity:
        """The one behind a corpus' ``credentials_ref``.

        The secret is the JSON key file of a service account with one more member, ``tenant``. Raises
        ``ProviderError`` VERTEX_RETRIEVAL_CONFIG_MISSING naming the secret.
        """
        try:
            info = tenant_secret(self._secrets, PREFIX, tenant_id, reference)
        except LookupError as error:
            raise missing(str(error)) from None
        name = secret_name(PREFIX, tenant_id, reference)
        key = hashlib.sha256(json.dumps(info, sort_keys=True).encode()).hexdigest()
        with self._lock:
            if key not in self._tenants:
                self._tenants[key] = GoogleIdentity(key=key, credentials=_service_account(info, name))
            self._tenants.move_to_end(key)
            while len(self._tenants) > _KEPT:
                self._tenants.popitem(last=False)
            return self._tenants[key]


def operator_credentials(path: str | None) -> "Credentials":
    """The credentials in the file ``path``, or those that Google's own search finds. Blocks.

    Raises ``google.auth.exceptions.DefaultCredentialsError``.
    """
    import google.auth

    found: Credentials = (
        google.auth.default(scopes=_SCOPES)
        if path is None
        else google.auth.load_credentials_from_file(path, scopes=_SCOPES)  # type: ignore[no-untyped-call]
    )[0]
    return found


def missing(message: str) -> ProviderError:
    """Something that a person must configure."""
    return ProviderError("VERTEX_RETRIEVAL_CONFIG_MISSING", message)


def _service_account(info: Mapping[str, object], name: str) -> "Credentials":
    from google.oauth2 import service_account

    # Other kinds of credential files can name programs to run and addresses to ask.
    if info.get("type") != "service_account":
        raise missing(f"secret {name} is not the key file of a service account")
    try:
        made: Credentials = service_account.Credentials.from_service_account_info(info, scopes=_SCOPES)  # type: ignore[no-untyped-call]
    except (ValueError, TypeError) as error:
        # The cause may quote the key, so it is not passed on.
        del error
        raise missing(f"secret {name} is not a usable key file of a service account") from None
    return made
