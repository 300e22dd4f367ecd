"""Settings: listed with group and scope, validated, effective at once; each one has an effect."""

from __future__ import annotations

from typing import Any

import pytest

from pileus.core import settings
from pileus.infrastructure import reconnecting
from pileus.wire.operations import Answer, Operation
from tests.api.test_zones import refused
from tests.support.cloud import PASSWORD, Cloud
from tests.support.zones import isolated_network, machine, simulated_zone


def put(cloud: Cloud, name: str, value: Any, **scope: Any) -> dict[str, Any]:
    return cloud.api("updateConfiguration", name=name, value=value, **scope)["configuration"]


def test_settings_are_listed_by_group_and_name(cloud: Cloud) -> None:
    found = cloud.list("listConfigurations", pagesize=500, page=1)
    assert {each["name"] for each in found} == set(settings.declared())
    (one,) = cloud.list("listConfigurations", name="expunge.delay")
    assert (one["value"], one["defaultvalue"], one["type"], one["group"]) == ("86400", "86400", "Number", "Compute")
    assert one["scope"] == "Global"
    assert one["isdynamic"] is True
    assert all(each["group"] == "Storage" for each in cloud.list("listConfigurations", group="Storage"))
    assert cloud.list("listConfigurations", keyword="recovered")[0]["name"] == "expunge.delay"
    groups = {group["name"]: group for group in cloud.list("listConfigurationGroups")}
    assert {group["group"] for group in found} == set(groups)
    for each in found:
        assert each["subgroup"] in [inner["name"] for inner in groups[each["group"]]["subgroup"]]
    assert len(cloud.list("listConfigurations", page=2, pagesize=5)) == 5


def test_values_are_checked_kept_and_reset(cloud: Cloud) -> None:
    assert "whole number" in refused(cloud, "updateConfiguration", name="expunge.delay", value="soon").text
    assert "at least" in refused(cloud, "updateConfiguration", name="expunge.delay", value="-1").text
    assert "below 2^63" in refused(cloud, "updateConfiguration", name="expunge.delay", value="9" * 400).text
    assert "true or false" in refused(cloud, "updateConfiguration", name="vm.destroy.forcestop", value="maybe").text
    assert "no setting" in refused(cloud, "updateConfiguration", name="no.such", value="1").text
    assert put(cloud, "expunge.delay", "7")["value"] == "7"
    assert cloud.list("listConfigurations", name="expunge.delay")[0]["value"] == "7"
    reset = cloud.api("resetConfiguration", name="expunge.delay")["configuration"]
    assert reset["value"] == "86400"
    assert [e["type"] for e in cloud.list("listEvents", type="CONFIGURATION.VALUE.EDIT")] == [
        "CONFIGURATION.VALUE.EDIT"
    ] * 2


def test_scopes(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    name = "cluster.memory.allocated.capacity.notificationthreshold"
    assert put(cloud, name, "0.5", clusterid=zone["cluster"])["value"] == "0.5"
    assert cloud.list("listConfigurations", name=name, clusterid=zone["cluster"])[0]["value"] == "0.5"
    assert cloud.list("listConfigurations", name=name)[0]["value"] == "0.75"
    assert "Cluster" in cloud.list("listConfigurations", name=name)[0]["scope"]
    assert "only: Global" in refused(
        cloud, "updateConfiguration", name="expunge.delay", value="1", zoneid=zone["zone"]
    ).text  # fmt: skip
    assert "exclude" in refused(
        cloud, "updateConfiguration", name=name, value="1", zoneid=zone["zone"], clusterid=zone["cluster"]
    ).text  # fmt: skip
    shown = cloud.api("resetConfiguration", name=name, clusterid=zone["cluster"])["configuration"]
    assert shown["value"] == "0.75"


def test_settings_are_for_admins(cloud: Cloud) -> None:
    assert refused(cloud, "listConfigurations", cloud.user).code in (401, 432)
    assert "root admins" in refused(
        cloud, "updateConfiguration", cloud.domain_admin, name="expunge.delay", value="1"
    ).text  # fmt: skip


def test_disk_sizes(cloud: Cloud) -> None:
    put(cloud, "storage.max.volume.size", "30")
    assert "30" in refused(cloud, "createDiskOffering", name="big", disksize=31).text
    put(cloud, "custom.diskoffering.size.min", "3")
    put(cloud, "custom.diskoffering.size.max", "9")
    put(cloud, "default.ui.page.size", "33")
    able = cloud.api("listCapabilities")["capability"]
    assert (able["customdiskofferingminsize"], able["customdiskofferingmaxsize"]) == (3, 9)
    assert able["defaultuipagesize"] == 33
    zone = simulated_zone(cloud, hosts=1)
    network = isolated_network(cloud, zone, "n1")
    custom = cloud.list("listDiskOfferings", name="Custom")[0]["id"]
    with pytest.raises(Exception, match="between 3 and 9"):
        machine(cloud, zone, network, "m", diskofferingid=custom, size=10)


def test_machine_settings(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    network = isolated_network(cloud, zone, "n1", **cloud.user.own)
    put(cloud, "vm.password.length", "21")
    vm = machine(cloud, zone, network, "m1", **cloud.user.own)
    assert len(vm["password"]) == 21
    put(cloud, "vm.userdata.max.length", "8")
    with pytest.raises(Exception, match="at most 8 characters"):
        machine(cloud, zone, network, "m2", userdata="aGVsbG8gd29ybGQ=", **cloud.user.own)
    assert "is for admins" in refused(cloud, "destroyVirtualMachine", cloud.user, id=vm["id"], expunge=True).text
    cloud.job("destroyVirtualMachine", id=vm["id"])
    assert cloud.list("listVirtualMachines", cloud.user) == []
    put(cloud, "allow.user.view.destroyed.vm", "true")
    assert [each["id"] for each in cloud.list("listVirtualMachines", cloud.user)] == [vm["id"]]
    assert cloud.api("listCapabilities")["capability"]["allowuserviewdestroyedvm"] is True
    put(cloud, "allow.user.expunge.recover.vm", "true")
    assert cloud.api("recoverVirtualMachine", cloud.user, id=vm["id"])["virtualmachine"]["state"] == "Stopped"


def test_network_settings(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    public = {"gateway": "198.51.100.1", "netmask": "255.255.255.0"}
    with pytest.raises(Exception, match="rfc1918"):
        isolated_network(cloud, zone, "n1", **public)
    put(cloud, "allow.non.rfc1918.compliant.ips", "true")
    isolated_network(cloud, zone, "n1", **public)
    put(cloud, "guest.domain.suffix", "example.net")
    made = isolated_network(cloud, zone, "n2")
    assert cloud.list("listNetworks", id=made)[0]["networkdomain"].endswith("example.net")


def test_overcommit_of_new_clusters_and_pools(cloud: Cloud) -> None:
    put(cloud, "cpu.overprovisioning.factor", "3")
    put(cloud, "mem.overprovisioning.factor", "1.5")
    put(cloud, "storage.overprovisioning.factor", "4")
    zone = simulated_zone(cloud, hosts=1)
    (cluster,) = cloud.list("listClusters")
    assert (float(cluster["cpuovercommitratio"]), float(cluster["memoryovercommitratio"])) == (3.0, 1.5)
    assert cloud.list("listStoragePools", id=zone["pool"])[0]["overprovisionfactor"] == "4.0"


def test_session_timeout(cloud: Cloud) -> None:
    assert cloud.user
    put(cloud, "session.timeout", "7")
    domain = cloud.user.account["domainid"]
    response = cloud.request("login", None, username="user", password=PASSWORD, domainId=domain, method="POST")
    assert response.json()["loginresponse"]["timeout"] == 7 * 60


def test_how_long_a_guest_has_to_shut_down(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []
    deliver = cloud.simulator.deliver

    async def listening(host: int, operation: Operation) -> Answer:
        if operation.kind == "machine.stop":
            told.append(operation.arguments)
        return await deliver(host, operation)

    monkeypatch.setattr(cloud.simulator, "deliver", listening)
    zone = simulated_zone(cloud, hosts=1)
    vm = machine(cloud, zone, isolated_network(cloud, zone, "n1"), "m1")
    put(cloud, "vm.stop.timeout", "17")
    cloud.job("stopVirtualMachine", id=vm["id"])
    assert (told[-1]["timeout"], told[-1]["force"]) == (17, False)
    cloud.job("startVirtualMachine", id=vm["id"])
    put(cloud, "vm.destroy.forcestop", "true")
    cloud.job("destroyVirtualMachine", id=vm["id"])
    assert told[-1]["force"] is True


def test_how_long_a_host_may_be_silent(cloud: Cloud) -> None:
    put(cloud, "ping.interval", "20")
    put(cloud, "ping.timeout", "3")
    assert reconnecting.silence(cloud.services.settings) == 60
