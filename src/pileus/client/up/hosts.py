"""The cluster and its hosts: this machine, or simulated ones."""

from __future__ import annotations

import time

from pileus.client.folder import FolderError
from pileus.client.up.site import Site, only

HOST_LIMIT = 30.0
PAUSE = 0.05


def make_cluster(site: Site) -> None:
    """Make the cluster."""
    found = site.find("listClusters", "cluster1", zoneid=site.ids["zone"])
    if found is None:
        found = site.api.run(
            "addCluster", zoneid=site.ids["zone"], podid=site.ids["pod"], clustername="cluster1",
            clustertype="CloudManaged", hypervisor=_hypervisor(site),
        )  # fmt: skip
    site.ids["cluster"] = str(found["id"])


def make(site: Site) -> None:
    """Add what is missing of the hosts, and wait until all are up."""
    for address in addresses(site)[_count(site) :]:
        site.api.run(
            "addHost", zoneid=site.ids["zone"], podid=site.ids["pod"], clusterid=site.ids["cluster"],
            hypervisor=_hypervisor(site), url=address, username="root", password="",
        )  # fmt: skip
    _wait(site)
    first = site.api.list("listHosts", type="Routing", clusterid=site.ids["cluster"], page=1, pagesize=1)
    site.ids["host"] = str(only(first, "host")["id"])


def addresses(site: Site) -> list[str]:
    """Return the URLs of the hosts that the cloud should have."""
    if site.cloud.simulator:
        return [f"http://sim/c0/h{number}" for number in range(site.cloud.hosts)]
    return [f"https://127.0.0.1:{site.cloud.agent_port}"]


def _hypervisor(site: Site) -> str:
    return "Simulator" if site.cloud.simulator else "KVM"


def _count(site: Site, **filters: str) -> int:
    answer = site.api.call("listHosts", type="Routing", clusterid=site.ids["cluster"], page=1, pagesize=1, **filters)
    return int(answer.get("count", 0))


def _wait(site: Site) -> None:
    until = time.monotonic() + HOST_LIMIT
    while True:
        wanted, there = _count(site), _count(site, state="Up")
        if there >= wanted:
            return
        if time.monotonic() > until:
            raise FolderError(
                f"{wanted - there} of {wanted} hosts did not come up within {HOST_LIMIT:.0f} s; see {site.folder.logs}"
            )
        time.sleep(PAUSE)
