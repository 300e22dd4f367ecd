"""The cluster and its hosts: this machine, or simulated ones."""

from __future__ import annotations

import time

from pileus.client.api import Answer, ApiFailure
from pileus.client.folder import FolderError
from pileus.client.up.site import Site

HOST_LIMIT = 30.0
PAUSE = 0.05


def make(site: Site) -> None:
    """Make the cluster, add what is missing of the hosts, and wait until all are up."""
    hypervisor = "Simulator" if site.cloud.simulator else "KVM"
    found = site.find("listClusters", "cluster1", zoneid=site.ids["zone"])
    if found is None:
        found = site.api.run(
            "addCluster", zoneid=site.ids["zone"], podid=site.ids["pod"], clustername="cluster1",
            clustertype="CloudManaged", hypervisor=hypervisor,
        )  # fmt: skip
    site.ids["cluster"] = str(found["id"])
    missing = addresses(site)[len(_hosts(site)) :]
    for address in missing:
        _add(site, address, hypervisor)
    _wait(site)
    site.ids["host"] = str(_hosts(site)[0]["id"])


def addresses(site: Site) -> list[str]:
    """Return the URLs of the hosts that the cloud should have."""
    if site.cloud.simulator:
        return [f"http://sim/c0/h{number}" for number in range(site.cloud.hosts)]
    return [f"https://127.0.0.1:{site.cloud.agent_port}"]


def _add(site: Site, address: str, hypervisor: str) -> None:
    """Add a host; a real one is known to the server only once its agent has reported."""
    until = time.monotonic() + HOST_LIMIT
    while True:
        try:
            site.api.run(
                "addHost", zoneid=site.ids["zone"], podid=site.ids["pod"], clusterid=site.ids["cluster"],
                hypervisor=hypervisor, url=address, username="root", password="",
            )  # fmt: skip
        except ApiFailure:
            if site.cloud.simulator or time.monotonic() > until:
                raise
            time.sleep(PAUSE * 4)
        else:
            return


def _hosts(site: Site) -> list[Answer]:
    return site.api.list("listHosts", type="Routing", clusterid=site.ids["cluster"])


def _wait(site: Site) -> None:
    until = time.monotonic() + HOST_LIMIT
    while True:
        down = [host for host in _hosts(site) if host.get("state") != "Up"]
        if not down:
            return
        if time.monotonic() > until:
            named = ", ".join(f"{host.get('name')} is {host.get('state')}" for host in down)
            raise FolderError(f"not all hosts came up within {HOST_LIMIT:.0f} s: {named}; see {site.folder.logs}")
        time.sleep(PAUSE)
