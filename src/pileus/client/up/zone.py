"""The zone: physical network, kinds of traffic, virtual-router provider, pod, public range."""

from __future__ import annotations

from ipaddress import IPv4Network

from pileus.client.up.site import Site, only

TRAFFIC = ("Guest", "Management", "Public", "Storage")
SIMULATED_PUBLIC = "198.18.0.0/16"
SIMULATED_VLANS = "100-4094"
VNIS_EACH = 4096  # VXLAN network ids of one cloud; its prefix says which


def make(site: Site) -> None:
    """Make the zone and what belongs to its network."""
    zone = site.ensure(
        "zone", "createZone", "zone1", find="listZones", filters={},
        networktype="Advanced", dns1="9.9.9.9", internaldns1="9.9.9.9", guestcidraddress="10.1.1.0/24",
        localstorageenabled=True, allocationstate="Disabled",
    )  # fmt: skip
    _physical_network(site)
    _pod(site)
    _public_range(site)
    site.ids["zone"] = str(zone["id"])


def enable(site: Site) -> None:
    """Let machines be placed in the zone."""
    found = only(site.api.list("listZones", id=site.ids["zone"]), "zone1")
    if found.get("allocationstate") != "Enabled":
        site.api.run("updateZone", id=site.ids["zone"], allocationstate="Enabled")


def isolation(site: Site) -> tuple[str, str]:
    """Return how guest networks are kept apart, and the range of tags."""
    if site.cloud.simulator:
        return "VLAN", SIMULATED_VLANS
    first = (1 + int.from_bytes(site.cloud.prefix.encode(), "big") % 4000) * VNIS_EACH
    return "VXLAN", f"{first}-{first + VNIS_EACH - 1}"


def public_network(site: Site) -> IPv4Network:
    """Return the range of public addresses."""
    return IPv4Network(SIMULATED_PUBLIC if site.cloud.simulator else site.cloud.public)


def _physical_network(site: Site) -> None:
    method, tags = isolation(site)
    network = site.ensure(
        "physicalnetwork", "createPhysicalNetwork", "physical1",
        find="listPhysicalNetworks", filters={"zoneid": site.ids["zone"]},
        zoneid=site.ids["zone"], isolationmethods=method, vlan=tags,
    )  # fmt: skip
    identity = site.ids["physicalnetwork"]
    there = {kind.get("traffictype") for kind in site.api.list("listTrafficTypes", physicalnetworkid=identity)}
    for kind in TRAFFIC:
        if kind not in there:
            site.api.run("addTrafficType", physicalnetworkid=identity, traffictype=kind)
    if network.get("state") != "Enabled":
        site.api.run("updatePhysicalNetwork", id=identity, state="Enabled")
    provider = only(
        site.api.list("listNetworkServiceProviders", physicalnetworkid=identity, name="VirtualRouter"),
        "provider VirtualRouter",
    )
    if provider.get("state") != "Enabled":
        for element in site.api.list("listVirtualRouterElements", nspid=provider["id"]):
            site.api.run("configureVirtualRouterElement", id=element["id"], enabled=True)
        site.api.run("updateNetworkServiceProvider", id=provider["id"], state="Enabled")


def _pod(site: Site) -> None:
    site.ensure(
        "pod", "createPod", "pod1", find="listPods", filters={"zoneid": site.ids["zone"]},
        zoneid=site.ids["zone"], gateway="172.31.255.1", netmask="255.255.255.0",
        startip="172.31.255.10", endip="172.31.255.250",
    )  # fmt: skip


def _public_range(site: Site) -> None:
    network = public_network(site)
    if site.api.list("listVlanIpRanges", zoneid=site.ids["zone"], forvirtualnetwork=True):
        return
    site.api.run(
        "createVlanIpRange", zoneid=site.ids["zone"], physicalnetworkid=site.ids["physicalnetwork"],
        forvirtualnetwork=True, vlan="untagged", gateway=network[1], netmask=network.netmask,
        startip=network[2], endip=network[-2],
    )  # fmt: skip
