"""Only hosts with enough RAM not promised yet."""

from __future__ import annotations

from pileus.scheduling.model import Host, Reason, Request

_FULL = Reason("lacks RAM", "lack RAM")


def check(host: Host, request: Request) -> Reason | None:
    """Refuse hosts without room, overcommit included."""
    return _FULL if host.used_memory + request.memory > host.memory_limit else None
