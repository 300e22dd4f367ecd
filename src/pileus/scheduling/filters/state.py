"""Only hosts that are up and take machines."""

from __future__ import annotations

from pileus.scheduling.model import Host, Reason, Request

_MAINTENANCE = Reason("is in maintenance", "are in maintenance")
_DISABLED = Reason("is disabled", "are disabled")
_DOWN = Reason("is not up", "are not up")


def check(host: Host, request: Request) -> Reason | None:
    """Refuse hosts that are down, in maintenance or disabled, and those whose pod or cluster is."""
    del request
    if host.state == "Up" and host.resource_state == "Enabled" and host.enabled:
        return None
    if "Maintenance" in host.resource_state:
        return _MAINTENANCE
    return _DOWN if host.state != "Up" else _DISABLED
