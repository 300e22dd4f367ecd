"""Where a virtual router goes: the host with the fewest routers among those that can have it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec


class RouterHost(msgspec.Struct, frozen=True, kw_only=True):
    """A host of the zone as a place for a router."""

    id: int
    routers: int  # how many it has
    up: bool
    enabled: bool  # itself, its cluster and its pod take new work
    isolates: bool  # its kernel can do the network's kind of isolation
    open: bool = True  # not dedicated to others than the network's owner


class NoHost(Exception):
    """No host can have the router; the text says why, filter by filter."""


def choose(hosts: Sequence[RouterHost], avoid: Collection[int] = ()) -> int:
    """Return the id of the best host; raises NoHost."""
    refused: dict[str, int] = {}
    fit: list[RouterHost] = []
    for host in hosts:
        reason = _refusal(host, avoid)
        if reason is None:
            fit.append(host)
        else:
            refused[reason] = refused.get(reason, 0) + 1
    if not fit:
        reasons = ", ".join(f"{count} {reason}" for reason, count in refused.items())
        raise NoHost(f"of {len(hosts)} hosts: {reasons}" if hosts else "the zone has no hosts")
    return min(fit, key=lambda host: (host.routers, host.id)).id


def _refusal(host: RouterHost, avoid: Collection[int]) -> str | None:
    if not host.up:
        return "not up"
    if not host.enabled:
        return "disabled"
    if not host.isolates:
        return "without the network's kind of isolation"
    if not host.open:
        return "dedicated to others"
    if host.id in avoid:
        return "failed just now"
    return None
