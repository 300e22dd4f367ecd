"""Planning: first fit, from a snapshot and a request to ranked places, or to the reasons why there is none."""

from __future__ import annotations

from pileus.scheduling import filters, planners
from pileus.scheduling.filters import storage
from pileus.scheduling.model import Host, Place, Plan, Reason, Refusal, Request, Snapshot

CHOICES = 8
"""So many places a plan names at most: more are of no use, as the next plan is made of a newer snapshot."""


def plan(snapshot: Snapshot, request: Request, *, choices: int = CHOICES) -> Plan | Refusal:
    """Return the first hosts that fit, the preferred one before all; or why none does."""
    places: list[Place] = []
    reasons: dict[Reason, int] = {}
    hosts = planners.ordered(snapshot.in_zone(request.zone_id, request.os_category_id), request)
    preferred = snapshot.hosts.get(request.preferred_host_id or 0)
    if preferred is not None and preferred.zone_id == request.zone_id:
        fitting = fit(snapshot, preferred, request)
        if isinstance(fitting, Place):
            places.append(fitting)
    for host in hosts:
        if len(places) >= choices:
            break
        fitting = fit(snapshot, host, request)
        if isinstance(fitting, Reason):
            reasons[fitting] = reasons.get(fitting, 0) + 1
        elif fitting not in places:
            places.append(fitting)
    if places:
        return Plan(tuple(places))
    return Refusal(len(hosts), tuple(sorted(reasons.items(), key=lambda item: -item[1])))


def fit(snapshot: Snapshot, host: Host, request: Request) -> Place | Reason:
    """Return the place that a host is, or the first reason against it."""
    for check in filters.ALL:
        reason = check(host, request)
        if reason is not None:
            return reason
    pools = storage.choose(snapshot, host, request)
    return pools if isinstance(pools, Reason) else Place(host.id, pools)
