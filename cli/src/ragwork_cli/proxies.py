"""Proxies before a server: what to tell an operator who named none."""

from collections.abc import Sequence
from ipaddress import ip_address

from ragwork_cli.findings import Finding


def unnamed(trusted: Sequence[str]) -> Finding:
    """What no trusted proxy means for a server that others than its own machine reach. Whether there is a proxy is
    only known to the operator, so that this is told and never a fault.
    """
    if trusted:
        return Finding(
            check="proxies", state="ok", detail=f"X-Forwarded-For is believed of {', '.join(trusted)}"
        )
    return Finding(
        check="proxies",
        state="ok",
        detail="TRUSTED_PROXIES is unset: behind a proxy all clients have one address, and share its limits",
        fix="name the proxy's network (CIDR); without a proxy this is as it should be",
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on ``host``."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
