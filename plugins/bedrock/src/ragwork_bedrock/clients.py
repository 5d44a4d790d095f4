"""The SDK's clients: made in a thread, kept by region and credentials."""

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

import attrs
from ragwork_hooks.services import Secrets
from ragwork_toolkit.vendor.errors import VendorErrorCodes

from ragwork_bedrock.calls import Calls
from ragwork_bedrock.credentials import AwsKeys, missing, operator_keys
from ragwork_bedrock.errors import translated

if TYPE_CHECKING:
    from boto3.session import Session
    from botocore.config import Config

C = TypeVar("C")

#: Clients that stay open; each keeps up to a connection for every thread.
_KEPT = 64
#: A service that takes longer to accept a connection is away.
_CONNECT_TIMEOUT_S = 5.0


@attrs.frozen(kw_only=True)
class AwsAccount:
    """Where a call goes, and whose it is. ``keys`` of ``None`` are the SDK's own search."""

    region: str
    keys: AwsKeys | None


@attrs.frozen(kw_only=True)
class AwsService:
    """What is called. ``endpoint_url`` of ``None`` is AWS' own; ``silence_s`` is borne at most."""

    name: Literal["bedrock-agent-runtime", "bedrock-runtime"]
    endpoint_url: str | None
    silence_s: float
    max_concurrency: int


class Clients(Generic[C]):
    """Clients of one service for all tenants. Every method blocks and belongs in a thread of ``calls``."""

    def __init__(self, service: AwsService, secrets: Secrets, calls: Calls) -> None:
        self._service = service
        self._secrets = secrets
        self._calls = calls
        # The SDK's sessions are not made for threads; its clients are.
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._kept: OrderedDict[AwsAccount, C] = OrderedDict()

    def warm(self, codes: VendorErrorCodes) -> None:
        """Import the SDK and read the service's description: they take most of a second, a client after
        that some milliseconds. Raises ``ProviderError``.
        """
        nobody = AwsKeys(access_key_id="nobody", secret_access_key="none")  # noqa: S106  # it signs nothing
        with translated(codes):
            self._make(AwsAccount(region="us-east-1", keys=nobody))

    def account(self, region: str | None, keys: AwsKeys | None = None) -> AwsAccount:
        """The account of ``keys``, by default the operator's; in ``region``, by default that of the
        environment.

        Raises ``ProviderError`` AWS_CONFIG_MISSING naming the key that a person must set.
        """
        return AwsAccount(region=region or self._region(), keys=keys or operator_keys(self._secrets))

    def client(self, account: AwsAccount) -> C:
        """The client that signs for ``account``."""
        with self._lock:
            if account not in self._kept:
                self._kept[account] = self._make(account)
            self._kept.move_to_end(account)
            while len(self._kept) > _KEPT:
                # Not closed: a thread may be using it. Its connections go with the last user.
                self._kept.popitem(last=False)
            return self._kept[account]

    def close(self) -> None:
        """Hang up, on what is idle too. Idempotent."""
        with self._lock:
            for client in self._kept.values():
                cast(Any, client).close()
            self._kept.clear()

    def _make(self, account: AwsAccount) -> C:
        from ragwork_bedrock.connections import watch

        session, keys = self._made_session(), account.keys
        if keys is None and session.get_credentials() is None:
            raise missing(
                "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            )
        # The stubs have an overload for each service, and none for a service that varies.
        client = cast(Any, session).client(
            self._service.name,
            region_name=account.region,
            endpoint_url=self._service.endpoint_url,
            aws_access_key_id=keys.access_key_id if keys else None,
            aws_secret_access_key=keys.secret_access_key if keys else None,
            aws_session_token=keys.session_token if keys else None,
            config=self._config(),
        )
        watch(client, self._calls)
        made: C = client
        return made

    def _config(self) -> "Config":
        from botocore.config import Config

        return Config(
            connect_timeout=min(_CONNECT_TIMEOUT_S, self._service.silence_s),
            read_timeout=self._service.silence_s,
            max_pool_connections=self._service.max_concurrency,
            retries={"total_max_attempts": 1, "mode": "standard"},  # resilience is a layer around providers
            # Else a bearer token in the environment would replace the tenant's signature.
            signature_version="v4",
            # The service judges its parameters; the SDK's idea of them may be older.
            parameter_validation=False,
        )

    def _made_session(self) -> "Session":
        if self._session is None:
            from boto3.session import Session

            self._session = Session(profile_name=self._secrets.value("AWS_PROFILE"))
        return self._session

    def _region(self) -> str:
        found = self._secrets.value("AWS_REGION") or self._secrets.value("AWS_DEFAULT_REGION")
        if found is None:
            with self._lock:
                found = self._made_session().region_name
        if found is None:
            raise missing("no region: set AWS_REGION or BEDROCK_REGION, or 'region' of the corpus")
        return found
