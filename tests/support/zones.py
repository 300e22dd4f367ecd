"""A zone of simulated hosts, made through the public API."""

from __future__ import annotations

from typing import Any

from tests.support.cloud import Cloud


def simulated_zone(cloud: Cloud, *, hosts: int = 3, name: str = "z1") -> dict[str, str]:
    """Make an Advanced zone that machines can be deployed into; return the ids of what a test needs of it."""
    zone = cloud.api(
        "createZone",
        name=name,
        networktype="Advanced",
        dns1="192.0.2.53",
        internaldns1="192.0.2.53",
        guestcidraddress="10.1.1.0/24",
        localstorageenabled=True,
    )["zone"]["id"]
    physical = cloud.job(
        "createPhysicalNetwork", zoneid=zone, name="physical1", isolationmethods="VXLAN", vlan="1000-5000"
    )["id"]
    for kind in ("Management", "Public", "Guest", "Storage"):
        cloud.job("addTrafficType", physicalnetworkid=physical, traffictype=kind)
    cloud.job("updatePhysicalNetwork", id=physical, state="Enabled")
    provider = cloud.list("listNetworkServiceProviders", physicalnetworkid=physical, name="VirtualRouter")[0]["id"]
    element = cloud.list("listVirtualRouterElements", nspid=provider)[0]["id"]
    cloud.job("configureVirtualRouterElement", id=element, enabled=True)
    cloud.job("updateNetworkServiceProvider", id=provider, state="Enabled")
    pod = cloud.api(
        "createPod", zoneid=zone, name="p1", gateway="192.0.2.1", netmask="255.255.255.0", startip="192.0.2.10"
    )["pod"]["id"]
    cloud.api(
        "createVlanIpRange",
        zoneid=zone,
        physicalnetworkid=physical,
        vlan="untagged",
        gateway="203.0.113.1",
        netmask="255.255.255.0",
        startip="203.0.113.10",
        endip="203.0.113.250",
        forvirtualnetwork=True,
    )
    cluster = cloud.api(
        "addCluster", zoneid=zone, podid=pod, clustername="c1", clustertype="CloudManaged", hypervisor="Simulator"
    )["cluster"][0]["id"]
    made = [
        cloud.api(
            "addHost",
            zoneid=zone,
            podid=pod,
            clusterid=cluster,
            hypervisor="Simulator",
            url=f"http://sim/{name}/h{number}",
        )["host"][0]["id"]
        for number in range(hosts)
    ]
    pool = cloud.api(
        "createStoragePool", zoneid=zone, name="primary1", url=f"nfs://nas/{name}/primary1", scope="zone",
        hypervisor="Simulator",
    )["storagepool"]["id"]  # fmt: skip
    cloud.api("addImageStore", name=f"{name}-images", provider="NFS", zoneid=zone, url=f"nfs://nas/{name}/images")
    cloud.api("updateZone", id=zone, allocationstate="Enabled")
    template = cloud.api(
        "registerTemplate", name="tiny", displaytext="tiny", format="QCOW2", hypervisor="Simulator",
        url="http://images.test/tiny.qcow2", zoneid=zone, ispublic=True, passwordenabled=True,
    )["template"][0]["id"]  # fmt: skip
    offering = cloud.list("listServiceOfferings", name="Small Instance")[0]["id"]
    isolated = cloud.list("listNetworkOfferings", name="DefaultIsolatedNetworkOfferingWithSourceNatService")[0]["id"]
    return {
        "zone": zone, "physical": physical, "pod": pod, "cluster": cluster, "pool": pool, "template": template,
        "offering": offering, "networkoffering": isolated, "host": made[0],
    }  # fmt: skip


def isolated_network(cloud: Cloud, zone: dict[str, str], name: str, **more: Any) -> str:
    """Make an isolated network in the zone; return its id."""
    return cloud.api(
        "createNetwork", name=name, displaytext=name, zoneid=zone["zone"], networkofferingid=zone["networkoffering"],
        **more,
    )["network"]["id"]  # fmt: skip


def machine(cloud: Cloud, zone: dict[str, str], network: str, name: str, **more: Any) -> dict[str, Any]:
    """Deploy a machine and wait for it; return it."""
    return cloud.job(
        "deployVirtualMachine", name=name, zoneid=zone["zone"], templateid=zone["template"],
        serviceofferingid=zone["offering"], networkids=network, **more,
    )  # fmt: skip
