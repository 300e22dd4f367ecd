"""Dedicated zones, pods, clusters and hosts: who may use them, who may not, and how they are released."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cloud import Cloud, Refused
from tests.support.zones import isolated_network, machine, simulated_zone


def refused(cloud: Cloud, command: str, **parameters: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        cloud.api(command, **parameters)
    return caught.value


def own(cloud: Cloud) -> dict[str, Any]:
    return dict(cloud.user.own)


def test_dedicated_hosts_are_for_their_owner_alone(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=2)
    first, second = (host["id"] for host in cloud.list("listHosts", type="Routing"))
    made = cloud.job("dedicateHost", hostid=first, **own(cloud))
    (row,) = made["dedicatedhost"]
    assert (row["hostid"], row["domainid"]) == (first, cloud.user.account["domainid"])
    assert row["accountid"] == cloud.user.account["id"]
    cloud.job("dedicateHost", hostid=second, domainid=cloud.stranger.account["domainid"])
    assert len(cloud.list("listDedicatedHosts")) == 2
    assert [each["hostid"] for each in cloud.list("listDedicatedHosts", account="user")] == [first]
    name = cloud.list("listHosts", id=second)[0]["name"]
    assert [each["hostid"] for each in cloud.list("listDedicatedHosts", keyword=name.upper())] == [second]

    network = isolated_network(cloud, zone, "n1", caller=cloud.user)
    ours = machine(cloud, zone, network, "vm1", caller=cloud.user)
    assert cloud.list("listVirtualMachines", id=ours["id"], listall=True)[0]["hostid"] == first
    others = isolated_network(cloud, zone, "n2", caller=cloud.other)
    with pytest.raises(Refused, match=r"dedicated to others|no room"):
        machine(cloud, zone, others, "vm2", caller=cloud.other)

    cloud.job("releaseDedicatedHost", hostid=second)
    assert "not dedicated" in refused(cloud, "releaseDedicatedHost", hostid=second).text
    theirs = machine(cloud, zone, others, "vm3", caller=cloud.other)
    assert cloud.list("listVirtualMachines", id=theirs["id"], listall=True)[0]["hostid"] == second
    assert "used by machines of others (vm3)" in refused(cloud, "dedicateHost", hostid=second, **cloud.user.own).text


def test_a_domain_includes_what_is_below_it(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    root = cloud.domain("above")
    below = cloud.domain("below", parent=root["id"])
    assert cloud.job("dedicateCluster", clusterid=zone["cluster"], domainid=root["id"])["clusterid"] == zone["cluster"]
    cloud.api("createAccount", accounttype=0, username="deep", password="a password for tests", firstname="d",
              lastname="d", email="d@cloud.test", domainid=below["id"])  # fmt: skip
    network = isolated_network(cloud, zone, "n1", account="deep", domainid=below["id"])
    machine(cloud, zone, network, "vm1", account="deep", domainid=below["id"])
    elsewhere = isolated_network(cloud, zone, "n2", caller=cloud.user)
    with pytest.raises(Refused, match=r"dedicated to others|no room"):
        machine(cloud, zone, elsewhere, "vm2", caller=cloud.user)
    text = refused(cloud, "dedicateHost", hostid=zone["host"], domainid=cloud.user.account["domainid"]).text
    assert "the cluster of host" in text


def test_a_domain_with_a_similar_name_is_another_one(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    dedicated, similar = cloud.domain("dev_a"), cloud.domain("devxa")
    cloud.api("createAccount", accounttype=0, username="near", password="a password for tests", firstname="n",
              lastname="n", email="n@cloud.test", domainid=similar["id"])  # fmt: skip
    cloud.job("dedicateHost", hostid=zone["host"], domainid=dedicated["id"])
    network = isolated_network(cloud, zone, "n1", account="near", domainid=similar["id"])
    with pytest.raises(Refused, match=r"dedicated to others|no room"):
        machine(cloud, zone, network, "vm1", account="near", domainid=similar["id"])


def test_what_an_account_has_to_itself_is_not_dedicated_again_within(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    cloud.job("dedicateCluster", clusterid=zone["cluster"], **own(cloud))
    others = {"domainid": cloud.user.account["domainid"], "account": cloud.other.account["name"]}
    assert others["domainid"] == cloud.other.account["domainid"]
    assert "parameter account" in refused(cloud, "dedicateHost", hostid=zone["host"], **others).text
    cloud.job("dedicateHost", hostid=zone["host"], **own(cloud))


def test_a_dedicated_zone_is_seen_by_its_domain_only(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    (row,) = cloud.job("dedicateZone", zoneid=zone["zone"], domainid=cloud.user.account["domainid"])["dedicatedzone"]
    assert row["zonename"] == "z1"
    assert [z["id"] for z in cloud.list("listZones", cloud.user)] == [zone["zone"]]
    assert cloud.list("listZones", cloud.stranger) == []
    cloud.job("releaseDedicatedZone", zoneid=zone["zone"])
    assert [z["id"] for z in cloud.list("listZones", cloud.stranger)] == [zone["zone"]]
    cloud.job("dedicatePod", podid=zone["pod"], **own(cloud))
    assert cloud.list("listDedicatedPods", podid=zone["pod"])[0]["accountid"] == cloud.user.account["id"]
    assert (
        "has no account"
        in refused(
            cloud, "dedicateZone", zoneid=zone["zone"], account="nobody", domainid=cloud.user.account["domainid"]
        ).text
    )
    assert (
        "within zone"
        in refused(cloud, "dedicateZone", zoneid=zone["zone"], domainid=cloud.stranger.account["domainid"]).text
    )


def test_what_was_dedicated_is_released_with_its_account_or_domain(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=2)
    first, second = (host["id"] for host in cloud.list("listHosts", type="Routing"))
    other, upper = cloud.domain("other-domain"), cloud.domain("upper")
    account, domain = own(cloud), {"domainid": other["id"]}
    addresses = {"zoneid": zone["zone"], "gateway": "198.51.100.1", "netmask": "255.255.255.0", "vlan": "untagged"}
    for number, owner in ((10, account), (20, domain)):
        ends = {"startip": f"198.51.100.{number}", "endip": f"198.51.100.{number + 5}"}
        cloud.api("createVlanIpRange", physicalnetworkid=zone["physical"], **addresses, **ends, **owner)
    cloud.job("dedicateHost", hostid=first, **account)
    cloud.job("dedicateHost", hostid=second, **domain)
    size = {"cpunumber": 1, "cpuspeed": 500, "memory": 512}
    for name, of in (("only", other["id"]), ("both", f"{other['id']},{upper['id']}")):
        cloud.api("createServiceOffering", name=name, displaytext=name, domainid=of, **size)

    def ranges() -> list[str]:
        return [each["startip"] for each in cloud.list("listVlanIpRanges") if "domainid" in each]

    assert ranges() == ["198.51.100.10", "198.51.100.20"]
    cloud.job("deleteAccount", id=cloud.user.account["id"])
    assert ranges() == ["198.51.100.20"]
    assert [each["hostid"] for each in cloud.list("listDedicatedHosts")] == [second]
    cloud.job("deleteDomain", id=other["id"], cleanup=True)
    assert ranges() == []
    assert cloud.list("listDedicatedHosts") == []
    left = {each["name"]: each.get("domainid") for each in cloud.list("listServiceOfferings")}
    assert "only" not in left
    assert left["both"] == upper["id"]
