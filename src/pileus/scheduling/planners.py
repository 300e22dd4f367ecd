"""Planners: in which order the hosts of a zone are tried, by where the account's other machines are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from pileus.scheduling.model import Host, Request

FIRST_FIT = "FirstFitPlanner"
DISPERSING = "UserDispersingPlanner"
CONCENTRATED = "UserConcentratedPodPlanner"

_Order = Callable[[Host, Counter[int], Counter[int]], tuple[int, ...]]


def _dispersing(host: Host, in_pod: Counter[int], in_cluster: Counter[int]) -> tuple[int, ...]:
    """Spread an account's machines evenly over pods, and over the clusters in them."""
    return in_pod[host.pod_id], in_cluster[host.cluster_id]


def _concentrated(host: Host, in_pod: Counter[int], _in_cluster: Counter[int]) -> tuple[int, ...]:
    """Keep an account's machines together in the pod that has most of them."""
    return (-in_pod[host.pod_id],)


_ORDERS: dict[str, _Order] = {DISPERSING: _dispersing, CONCENTRATED: _concentrated}
NAMES = (FIRST_FIT, *_ORDERS)


def counts(planner: str) -> bool:
    """Tell whether a planner looks at where the account's machines are (``Request.neighbours``)."""
    return planner in _ORDERS


def ordered(hosts: Sequence[Host], request: Request) -> Sequence[Host]:
    """Return the hosts as the request's planner tries them; those that it does not tell apart stay as they are."""
    order = _ORDERS.get(request.planner)
    if order is None:
        return hosts
    in_pod: Counter[int] = Counter()
    in_cluster: Counter[int] = Counter()
    for pod, cluster, machines in request.neighbours:
        in_pod[pod] += machines
        in_cluster[cluster] += machines
    return sorted(hosts, key=lambda host: order(host, in_pod, in_cluster))
