"""Only hosts with the machine's hypervisor."""

from __future__ import annotations

from pileus.scheduling.model import Host, Reason, Request


def check(host: Host, request: Request) -> Reason | None:
    """Refuse hosts with another hypervisor than the template is made for."""
    if host.hypervisor == request.hypervisor:
        return None
    return Reason(f"is not a {request.hypervisor} host", f"are not {request.hypervisor} hosts")
