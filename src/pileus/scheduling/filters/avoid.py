"""Not the hosts that failed at this machine just now."""

from __future__ import annotations

from pileus.scheduling.model import Host, Reason, Request

_FAILED = Reason("failed just now", "failed just now")


def check(host: Host, request: Request) -> Reason | None:
    """Refuse hosts on the avoid list."""
    return _FAILED if host.id in request.avoid else None
