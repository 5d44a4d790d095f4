"""The SDK's connections, taught to say for which call they work. Imports the SDK: import this lazily."""

import socket
from typing import TYPE_CHECKING, Any

from botocore.awsrequest import (
    AWSConnection,
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)
from ragwork_toolkit.vendor.cancellable_threads import Call, shut_down

from ragwork_bedrock.calls import Calls

if TYPE_CHECKING:
    from botocore.client import BaseClient


def watch(client: "BaseClient", calls: Calls) -> None:
    """Let every connection that ``client`` opens from now on report to ``calls``."""

    class Held(AWSConnection):
        sock: socket.socket | None
        holder: Call | None = None
        held: socket.socket | None = None

        def request(self, *args: Any, **kwargs: Any) -> Any:
            calls.keep(self)
            done = super().request(*args, **kwargs)
            # Once more: a new connection had no socket before.
            calls.keep(self)
            return done

        def begin(self, call: Call) -> None:
            # The socket is read on when the connection has let go of it already.
            self.holder, self.held = call, self.sock

        def cut(self, call: Call) -> None:
            if self.holder is call and self.held is not None:
                shut_down(self.held)

        def hang_up(self) -> None:
            if self.sock is not None:
                shut_down(self.sock)
                self.close()

    # The stubs of the SDK's classes contradict those of their own bases.
    class Plain(Held, AWSHTTPConnection):  # type: ignore[misc]
        pass

    class Secure(Held, AWSHTTPSConnection):  # type: ignore[misc]
        pass

    class PlainPool(AWSHTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(AWSHTTPSConnectionPool):
        ConnectionCls = Secure

    # The SDK has no public way to choose its connections. This table is the one that its direct and
    # its proxied pools share; a test holds that a cut-off call reaches the service.
    session = getattr(client, "_endpoint").http_session  # noqa: B009  # not in the SDK's type stubs
    session._pool_classes_by_scheme.update(http=PlainPool, https=SecurePool)
