"""Storage access groups: which hosts reach which primary storage, seen in lists and in where machines go."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cloud import Cloud, Refused
from tests.support.zones import isolated_network, machine, simulated_zone


def refused(cloud: Cloud, command: str, caller: Any = None, **parameters: Any) -> str:
    with pytest.raises(Refused) as caught:
        cloud.job(command, caller, **parameters)
    return caught.value.text


def reached(cloud: Cloud, host: str) -> list[str]:
    return sorted(pool["name"] for pool in cloud.list("listStoragePools", hostid=host))


def test_storage_with_groups_lets_in_hosts_that_have_one_of_them(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=2)
    first, second = (host["id"] for host in cloud.list("listHosts"))
    fast = cloud.api(
        "createStoragePool", name="fast", zoneid=zone["zone"], url="nfs://nas/fast", scope="zone",
        hypervisor="Simulator", storageaccessgroups="fast,dmz",
    )["storagepool"]  # fmt: skip
    assert fast["storageaccessgroups"] == "fast,dmz"
    assert reached(cloud, first) == reached(cloud, second) == ["primary1"]
    assert cloud.job("configureStorageAccess", hostid=second, storageaccessgroups="dmz") == {"success": True}
    assert (reached(cloud, first), reached(cloud, second)) == (["primary1"], ["fast", "primary1"])
    assert [host["id"] for host in cloud.list("listHosts", storageaccessgroup="dmz")] == [second]
    assert [host["id"] for host in cloud.list("listHostsMetrics", storageaccessgroup="dmz")] == [second]
    assert [pool["name"] for pool in cloud.list("listStoragePools", storageaccessgroup="fast")] == ["fast"]

    for kind, id_ in (("cluster", zone["cluster"]), ("pod", zone["pod"]), ("zone", zone["zone"])):
        cloud.job("configureStorageAccess", **{f"{kind}id": id_}, storageaccessgroups="fast")
        assert reached(cloud, first) == ["fast", "primary1"], kind
        host = cloud.list("listHosts", id=first)[0]
        assert (host.get("storageaccessgroups"), host[f"{kind}storageaccessgroups"]) == (None, "fast")
        listed = cloud.list(f"list{kind.capitalize()}s", storageaccessgroup="fast")
        assert [each["storageaccessgroups"] for each in listed] == ["fast"]
        assert cloud.list(f"list{kind.capitalize()}s", storageaccessgroup="fas") == []
        cloud.job("configureStorageAccess", **{f"{kind}id": id_})
        assert reached(cloud, first) == ["primary1"], kind


def test_machines_go_where_their_storage_is_reached_and_keep_it(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=2)
    second = cloud.list("listHosts")[1]["id"]
    cloud.job("configureStorageAccess", storageid=zone["pool"], storageaccessgroups="a")
    network = isolated_network(cloud, zone, "n1")
    with pytest.raises(Refused, match=r"of 2 hosts: 2 reach no primary storage"):
        machine(cloud, zone, network, "vm1")
    cloud.job("configureStorageAccess", hostid=second, storageaccessgroups="a,b")
    vm = machine(cloud, zone, network, "vm2")
    assert cloud.list("listVirtualMachines", id=vm["id"])[0]["hostid"] == second
    for wrong in ({"hostid": second, "storageaccessgroups": "b"}, {"hostid": second}):
        assert "would lose their storage primary1 (vm2)" in refused(cloud, "configureStorageAccess", **wrong)
    assert "vm2" in refused(cloud, "configureStorageAccess", storageid=zone["pool"], storageaccessgroups="c")
    assert cloud.list("listHosts", id=second)[0]["storageaccessgroups"] == "a,b"
    cloud.job("stopVirtualMachine", id=vm["id"])
    cloud.job("configureStorageAccess", hostid=second, storageaccessgroups="b")
    with pytest.raises(Refused, match="do not reach the volumes"):
        cloud.job("startVirtualMachine", id=vm["id"])


def test_groups_come_with_what_is_made_and_are_listed(cloud: Cloud) -> None:
    servers: dict[str, Any] = {"dns1": "192.0.2.53", "internaldns1": "192.0.2.53", "networktype": "Advanced"}
    zone = cloud.api("createZone", name="z", storageaccessgroups="west", **servers)["zone"]
    pod = cloud.api("createPod", name="p", zoneid=zone["id"], storageaccessgroups="west,rack")["pod"]
    at = {"zoneid": zone["id"], "podid": pod["id"], "hypervisor": "Simulator"}
    cluster = cloud.list("addCluster", clustername="c", clustertype="CloudManaged", storageaccessgroups="blue", **at)[0]
    host = cloud.list("addHost", url="http://sim/c/h", clusterid=cluster["id"], storageaccessgroups="own", **at)[0]
    assert (zone["storageaccessgroups"], pod["zonestorageaccessgroups"]) == ("west", "west")
    assert (cluster["podstorageaccessgroups"], host["storageaccessgroups"]) == ("west,rack", "own")
    groups = {group["name"]: group for group in cloud.list("listStorageAccessGroups")}
    assert sorted(groups) == ["blue", "own", "rack", "west"]
    west = groups["west"]
    assert ([z["id"] for z in west["zones"]["zone"]], west["pods"]["count"]) == ([zone["id"]], 1)
    assert (west["hosts"]["count"], west["storagepools"]["count"]) == (0, 0)
    assert [each["name"] for each in cloud.list("listStorageAccessGroups", keyword="o")] == ["own"]
    assert [each["name"] for each in cloud.list("listStorageAccessGroups", name="rack")] == ["rack"]
    assert len(cloud.list("listStorageAccessGroups", page=2, pagesize=3)) == 1


def test_storage_with_a_tag_rule_takes_what_fulfils_it(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    where = {"zoneid": zone["zone"], "url": "nfs://nas/ruled", "scope": "zone", "hypervisor": "Simulator"}
    rule = "tags[0] == 'gold' && tags.length == 2"
    with pytest.raises(Refused, match="no tag rule"):
        cloud.api("createStoragePool", name="ruled", tags="eval('x')", istagarule=True, **where)
    ruled = cloud.api("createStoragePool", name="ruled", tags=rule, istagarule=True, **where)["storagepool"]
    assert (ruled["tags"], ruled["istagarule"]) == (rule, True)
    network = isolated_network(cloud, zone, "n1")
    at = {}
    for name, tags in (("plain", None), ("gold", "gold,new"), ("other", "new,gold")):
        made = cloud.api(
            "createServiceOffering", name=name, displaytext=name, cpunumber=1, cpuspeed=500, memory=256, tags=tags
        )["serviceoffering"]["id"]
        try:
            vm = machine(cloud, zone | {"offering": made}, network, name)
            at[name] = cloud.list("listVolumes", virtualmachineid=vm["id"], listall=True)[0]["storage"]
        except Refused as error:
            at[name] = error.text
    assert (at["plain"], at["gold"]) == ("primary1", "ruled")
    assert "no storage with the tags gold, new" in at["other"]


def test_what_storage_access_refuses(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    assert "only one" in refused(cloud, "configureStorageAccess", zoneid=zone["zone"], podid=zone["pod"])
    assert "only one" in refused(cloud, "configureStorageAccess", storageaccessgroups="a")
    assert "blanks" in refused(cloud, "configureStorageAccess", zoneid=zone["zone"], storageaccessgroups="a b")
    assert "storageaccessgroup" in refused(cloud, "listHosts", storageaccessgroup="a,b")
    local = {"name": "local", "zoneid": zone["zone"], "url": f"file://{zone['host']}/srv", "scope": "host"}
    assert "scope=host" in refused(cloud, "createStoragePool", storageaccessgroups="a", **local)
    for person in (cloud.user, cloud.domain_admin):
        for command in ("configureStorageAccess", "listStorageAccessGroups"):
            with pytest.raises(Refused) as caught:
                cloud.api(command, person)
            assert caught.value.code == 401
