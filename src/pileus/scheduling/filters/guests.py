"""Only hosts with fewer machines than their hypervisor's limit."""

from __future__ import annotations

from pileus.scheduling.model import Host, Reason, Request

_FULL = Reason("has as many machines as its hypervisor may", "have as many machines as their hypervisor may")


def check(host: Host, request: Request) -> Reason | None:
    """Refuse hosts that are full."""
    del request
    return _FULL if host.most_guests is not None and host.guests >= host.most_guests else None
