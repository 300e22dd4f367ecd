"""Guest operating systems, regions, the cloud's identifier, capacity and what operators look at."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

from pileus.core.database import now
from tests.api.test_zones import refused
from tests.support.cloud import Cloud
from tests.support.zones import isolated_network, machine, simulated_zone


def test_guest_operating_systems(cloud: Cloud) -> None:
    category = cloud.api("addOsCategory", name="BSD", isfeatured=True)["oscategory"]
    assert category["isfeatured"] is True
    made = cloud.job("addGuestOs", osdisplayname="OpenBSD 7", oscategoryid=category["id"], fordisplay=False)
    assert (made["description"], made["oscategoryname"], made["isuserdefined"]) == ("OpenBSD 7", "BSD", True)
    assert cloud.list("listOsTypes", cloud.user, oscategoryid=category["id"]) == []  # not for display
    assert cloud.list("listOsTypes", description="openbsd 7")[0]["id"] == made["id"]
    assert "already" in refused(cloud, "addGuestOs", osdisplayname="OpenBSD 7", oscategoryid=category["id"]).text
    changed = cloud.job("updateGuestOs", id=made["id"], osdisplayname="OpenBSD 7.4", fordisplay=True)
    assert changed["description"] == "OpenBSD 7.4"
    assert [t["id"] for t in cloud.list("listOsTypes", cloud.user, oscategoryid=category["id"])] == [made["id"]]
    old = cloud.list("listOsTypes", description="Other Linux (64-bit)")[0]["id"]
    assert "keeps its name" in refused(cloud, "updateGuestOs", id=old, osdisplayname="x").text
    assert "cannot be removed" in refused(cloud, "removeGuestOs", id=old).text
    assert "is used by" in refused(cloud, "deleteOsCategory", id=category["id"]).text
    zone = simulated_zone(cloud, hosts=1)
    cloud.api(
        "registerTemplate", name="bsd", displaytext="bsd", format="QCOW2", hypervisor="Simulator",
        url="http://images.test/bsd.qcow2", zoneid=zone["zone"], ostypeid=made["id"],
    )  # fmt: skip
    assert "template" in refused(cloud, "removeGuestOs", id=made["id"]).text
    names = {c["name"] for c in cloud.list("listOsCategories", zoneid=zone["zone"], isiso=False, arch="x86_64")}
    assert "BSD" in names
    assert "CentOS" not in names
    assert cloud.list("listOsCategories", isiso=True) == cloud.list("listOsCategories", isvnf=True) == []
    assert [c["name"] for c in cloud.list("listOsCategories", isfeatured=True)] == ["BSD"]
    cloud.api("updateOsCategory", id=category["id"], name="BSDs", sortkey=-1)
    assert cloud.list("listOsCategories")[0]["name"] == "BSDs"


def test_a_guest_os_and_its_category_are_removed(cloud: Cloud) -> None:
    category = cloud.api("addOsCategory", name="BSD")["oscategory"]
    made = cloud.job("addGuestOs", osdisplayname="OpenBSD 7", oscategoryid=category["id"])
    cloud.job("removeGuestOs", id=made["id"])
    assert cloud.list("listOsTypes", oscategoryid=category["id"]) == []
    cloud.api("deleteOsCategory", id=category["id"])
    assert cloud.list("listOsCategories", name="BSD") == []
    cloud.api("addOsCategory", name="BSD")  # the name is free again


def test_guest_os_mappings(cloud: Cloud) -> None:
    system = cloud.list("listOsTypes", description="Other Linux (64-bit)")[0]["id"]
    common = {"hypervisor": "kvm", "hypervisorversion": "default"}
    made = cloud.job("addGuestOsMapping", ostypeid=system, osnameforhypervisor="linux", **common)
    assert (made["hypervisor"], made["osdisplayname"], made["isuserdefined"]) == ("KVM", "Other Linux (64-bit)", "true")
    again = {"ostypeid": system, "osnameforhypervisor": "linux2022", **common}
    assert "forced" in refused(cloud, "addGuestOsMapping", **again).text
    assert cloud.job("addGuestOsMapping", forced=True, **again)["id"] == made["id"]
    assert cloud.list("listGuestOsMapping", osnameforhypervisor="linux2022")[0]["id"] == made["id"]
    assert cloud.job("updateGuestOsMapping", id=made["id"], osnameforhypervisor="l")["osnameforhypervisor"] == "l"
    names = cloud.job("getHypervisorGuestOsNames", **common)
    assert (names["guestoscount"], names["guestoslist"][0]["osnameforhypervisor"]) == (1, "l")
    assert "check" in refused(
        cloud, "updateGuestOsMapping", id=made["id"], osnameforhypervisor="x", osmappingcheckenabled=True
    ).text  # fmt: skip
    cloud.job("removeGuestOsMapping", id=made["id"])
    assert cloud.list("listGuestOsMapping") == []


def test_regions(cloud: Cloud) -> None:
    (own,) = cloud.list("listRegions")
    assert (own["id"], own["name"]) == (1, "Local")
    made = cloud.api("addRegion", id=2, name="North", endpoint="https://north.test/client")["region"]
    assert made["endpoint"] == "https://north.test/client"
    assert "already" in refused(cloud, "addRegion", id=2, name="x", endpoint="https://x.test").text
    for wrong in ("x", "http://[abc"):
        assert "endpoint" in refused(cloud, "addRegion", id=3, name="x", endpoint=wrong).text
    assert cloud.api("updateRegion", id=2, name="South")["region"]["name"] == "South"
    assert [region["id"] for region in cloud.list("listRegions", cloud.user, name="south")] == [2]
    cloud.api("removeRegion", id=2)
    assert "itself" in refused(cloud, "removeRegion", id=1).text
    assert len(cloud.list("listRegions")) == 1


def test_the_cloud_s_identifier_is_signed(cloud: Cloud) -> None:
    user = cloud.user.account["user"][0]["id"]
    found = cloud.api("getCloudIdentifier", cloud.user, userid=user)["cloudidentifier"]
    digest = hmac.new(cloud.user.secretkey.encode(), found["cloudidentifier"].encode(), hashlib.sha1).digest()
    assert found["signature"] == base64.b64encode(digest).decode()
    assert refused(cloud, "getCloudIdentifier", cloud.other, userid=user).code == 531
    cloud.api("updateConfiguration", name="cloud.identifier", value="my-cloud")
    assert cloud.api("getCloudIdentifier", userid=user)["cloudidentifier"]["cloudidentifier"] == "my-cloud"


def by_type(cloud: Cloud, **parameters: Any) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in cloud.list("listCapacity", **parameters)}


def test_capacity(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=2)
    before = by_type(cloud, zoneid=zone["zone"])
    assert before["MEMORY"]["capacitytotal"] == 2 * 2 * 2**40
    assert before["CPU"]["capacitytotal"] == 2 * 128 * 2500
    assert (before["VIRTUAL_NETWORK_PUBLIC_IP"]["capacitytotal"], before["VLAN"]["capacitytotal"]) == (241, 4001)
    assert before["MEMORY"]["capacityused"] == before["STORAGE_ALLOCATED"]["capacityused"] == 0
    network = isolated_network(cloud, zone, "n1")
    vm = machine(cloud, zone, network, "m1")
    after = by_type(cloud, zoneid=zone["zone"])
    assert after["MEMORY"]["capacityused"] == vm["memory"] * 2**20
    assert after["CPU"]["capacityused"] == vm["cpunumber"] * vm["cpuspeed"]
    assert after["CPU_CORE"]["capacityused"] == vm["cpunumber"]
    assert after["VIRTUAL_NETWORK_PUBLIC_IP"]["capacityused"] == after["VLAN"]["capacityused"] == 1
    assert after["STORAGE_ALLOCATED"]["capacitytotal"] == 2 * after["STORAGE"]["capacitytotal"]
    size = cloud.list("listVolumes")[0]["size"]
    assert after["STORAGE_ALLOCATED"]["capacityused"] == size
    assert set(by_type(cloud, clusterid=zone["cluster"])) == {"MEMORY", "CPU", "CPU_CORE"}
    assert by_type(cloud, podid=zone["pod"])["CPU"]["podname"] == "p1"
    (one,) = cloud.list("listCapacity", type=1)
    assert (one["zonename"], one["type"]) == ("z1", 1)
    assert cloud.list("listCapacity", type=1, tag="none") == []
    usage = [float(each["percentused"]) for each in cloud.list("listCapacity", sortby="usage")]
    assert usage == sorted(usage, reverse=True)
    assert "must be one of" in refused(cloud, "listCapacity", type=77).text
    counts = cloud.api("listInfrastructure")["infrastructure"]
    assert (counts["zones"], counts["hosts"], counts["routers"], counts["storagepools"]) == (1, 2, 1, 1)


def test_management_servers_and_database(cloud: Cloud) -> None:
    simulated_zone(cloud, hosts=2)
    (server,) = cloud.list("listManagementServers", peers=True)
    assert (server["id"], server["state"], server["agentscount"]) == (cloud.services.server, "Up", 2)
    assert server["peers"] == []
    assert cloud.list("listManagementServers", name="another") == []
    (numbers,) = cloud.list("listManagementServersMetrics", system=True)
    assert numbers["availableprocessors"] >= 1
    assert numbers["systemmemorytotal"].endswith("GiB")
    assert cloud.api("listDbMetrics")["dbMetrics"]["version"].startswith("3.")
    planners = [each["name"] for each in cloud.list("listDeploymentPlanners")]
    assert planners == ["FirstFitPlanner", "UserDispersingPlanner", "UserConcentratedPodPlanner"]


def test_events_are_found_archived_and_deleted(cloud: Cloud) -> None:
    zone = cloud.api(
        "createZone", name="z", networktype="Advanced", dns1="192.0.2.53", internaldns1="192.0.2.53"
    )["zone"]  # fmt: skip
    (event,) = cloud.list("listEvents", type="ZONE.CREATE")
    assert (event["resourcename"], event["resourceid"]) == ("z", zone["id"])
    assert {"name": "ZONE.CREATE"} in cloud.list("listEventTypes", cloud.user)
    assert "together" in refused(cloud, "listEvents", duration=1).text
    assert cloud.list("listEvents", duration=1, entrytime=60) == []  # nothing is unfinished
    with cloud.services.database.write() as db:
        db.exec_driver_sql(
            "INSERT INTO event (uuid, type, state, level, description, user_id, account_id, domain_id, start_id,"
            " request, archived, created) VALUES ('11111111-1111-4111-8111-111111111111', 'VM.CREATE', 'Scheduled',"
            f" 'INFO', 'Scheduled: x', 2, 2, 1, 0, '', 0, {now() - 30})"
        )
    (pending,) = cloud.list("listEvents", duration=10, entrytime=60)
    assert pending["type"] == "VM.CREATE"
    assert refused(cloud, "archiveEvents", cloud.user, ids=event["id"]).code == 531
    cloud.api("archiveEvents", cloud.user, type="ZONE.CREATE")  # of the own ones: none
    assert len(cloud.list("listEvents", type="ZONE.CREATE")) == 1
    cloud.api("archiveEvents", ids=event["id"])
    assert cloud.list("listEvents", type="ZONE.CREATE") == []
    assert len(cloud.list("listEvents", type="ZONE.CREATE", archived=True)) == 1
    cloud.api("deleteEvents", type="ZONE.CREATE", startdate="2020-01-01")
    assert cloud.list("listEvents", type="ZONE.CREATE", archived=True) == []
    assert "needed" in refused(cloud, "deleteEvents").text


def test_limits_of_hypervisors(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    (found,) = cloud.list("listHypervisorCapabilities", hypervisor="simulator")
    assert "maxhostspercluster" not in found
    changed = cloud.api(
        "updateHypervisorCapabilities", id=found["id"], maxhostspercluster=1, maxdatavolumeslimit=1
    )["hypervisorcapabilities"]  # fmt: skip
    assert (changed["maxhostspercluster"], changed["maxdatavolumeslimit"]) == (1, 1)
    at = {"zoneid": zone["zone"], "podid": zone["pod"], "clusterid": zone["cluster"]}
    assert "1 hosts" in refused(cloud, "addHost", url="http://sim/z1/h9", hypervisor="Simulator", **at).text
    small = cloud.list("listDiskOfferings", name="Small")[0]["id"]
    network = isolated_network(cloud, zone, "n1")
    disks = [{"diskofferingid": small}, {"diskofferingid": small}]
    assert "1 data volumes" in refused(
        cloud, "deployVirtualMachine", zoneid=zone["zone"], templateid=zone["template"],
        serviceofferingid=zone["offering"], networkids=network, datadiskofferinglist=disks,
    ).text  # fmt: skip
    machine(cloud, zone, network, "m1", diskofferingid=small)
    assert "0 or more" in refused(cloud, "updateHypervisorCapabilities", hypervisor="KVM", maxdatavolumeslimit=-1).text
