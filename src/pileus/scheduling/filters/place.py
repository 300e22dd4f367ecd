"""Only hosts of the pod, cluster or host that the caller asked for."""

from __future__ import annotations

from pileus.scheduling.model import Host, Reason, Request

_HOST = Reason("is not the host asked for", "are not the host asked for")
_CLUSTER = Reason("is not in the cluster asked for", "are not in the cluster asked for")
_POD = Reason("is not in the pod asked for", "are not in the pod asked for")


def check(host: Host, request: Request) -> Reason | None:
    """Refuse hosts elsewhere."""
    if request.host_id not in (None, host.id):
        return _HOST
    if request.cluster_id not in (None, host.cluster_id):
        return _CLUSTER
    if request.pod_id not in (None, host.pod_id):
        return _POD
    return None
