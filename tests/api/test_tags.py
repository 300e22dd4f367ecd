"""Tags, icons, annotations and details: put on objects of any kind, shown and searched by every list."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from pileus.resources import sweeping
from pileus.resources.tables import annotation, resource_detail, resource_icon, resource_tag
from tests.api.test_zones import refused
from tests.support.cloud import Cloud
from tests.support.zones import isolated_network, machine, simulated_zone

PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\nnot much of a picture").decode()


def tag(key: str, value: str) -> list[dict[str, str]]:
    return [{"key": key, "value": value}]


def test_tags_of_every_kind_are_listed_and_searched(cloud: Cloud) -> None:
    zone = simulated_zone(cloud)
    network = isolated_network(cloud, zone, "n1", **cloud.user.own)
    vm = machine(cloud, zone, network, "m1", **cloud.user.own)
    volume = cloud.list("listVolumes", virtualmachineid=vm["id"], listall=True)[0]["id"]
    address = cloud.list("listPublicIpAddresses", listall=True)[0]["id"]
    account = cloud.user.account
    things = {
        "UserVm": (vm["id"], "listVirtualMachines", {}),
        "Volume": (volume, "listVolumes", {}),
        "Network": (network, "listNetworks", {}),
        "PublicIpAddress": (address, "listPublicIpAddresses", {}),
        "Template": (zone["template"], "listTemplates", {"templatefilter": "all"}),
        "Zone": (zone["zone"], "listZones", {}),
        "Nic": (vm["nic"][0]["id"], "", {}),
        "Account": (account["id"], "", {}),
        "Domain": (account["domainid"], "", {}),
        "Host": (zone["host"], "", {}),
        "ServiceOffering": (zone["offering"], "", {}),
    }
    for kind, (id_, command, more) in things.items():
        assert cloud.job("createTags", resourcetype=kind, resourceids=id_, tags=tag("color", kind)) == {"success": True}
        (found,) = cloud.list("listTags", resourcetype=kind, listall=True)
        assert (found["resourceid"], found["key"], found["value"]) == (id_, "color", kind)
        if command:
            everybody = {} if kind == "Zone" else {"listall": True}
            (shown,) = cloud.list(command, tags=tag("color", kind), **everybody, **more)
            assert [(each["key"], each["value"]) for each in shown["tags"]] == [("color", kind)]
            assert cloud.list(command, tags=tag("color", "none"), **everybody, **more) == []
    assert cloud.list("listTags", resourceid=vm["id"])[0]["account"] == "user"  # the machine's owner, not the tagger
    assert "twice" in refused(
        cloud, "createTags", resourcetype="UserVm", resourceids=vm["id"],
        tags=[{"key": "a", "value": "1"}, {"key": "a", "value": "2"}],
    ).text  # fmt: skip
    assert "already" in refused(
        cloud, "createTags", resourcetype="UserVm", resourceids=vm["id"], tags=tag("color", "x")
    ).text  # fmt: skip
    result = cloud.api("queryAsyncJobResult", jobid=cloud.api("stopVirtualMachine", id=vm["id"])["jobid"])
    cloud.wait("stopVirtualMachine", result["jobid"])
    answer = cloud.api("queryAsyncJobResult", jobid=result["jobid"])
    assert answer["jobresult"]["virtualmachine"]["tags"][0]["value"] == "UserVm"


def test_tags_follow_ownership(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    network = isolated_network(cloud, zone, "n1", **cloud.user.own)
    assert refused(
        cloud, "createTags", cloud.other, resourcetype="Network", resourceids=network, tags=tag("a", "b")
    ).code == 531  # fmt: skip
    cloud.job("createTags", cloud.user, resourcetype="network", resourceids=network, tags=tag("a", "b"))
    assert cloud.list("listTags", cloud.other, listall=True) == []
    assert len(cloud.list("listTags", cloud.domain_admin, listall=True)) == 1
    assert cloud.list("listTags", cloud.foreign_admin, listall=True) == []
    assert refused(cloud, "deleteTags", cloud.other, resourcetype="Network", resourceids=network).code == 531
    assert "no" not in cloud.list("listTags", cloud.user, key="a")[0]["value"]
    assert "tag" in refused(
        cloud, "deleteTags", cloud.user, resourcetype="Network", resourceids=network, tags=tag("a", "other")
    ).text  # fmt: skip
    cloud.job("deleteTags", cloud.user, resourcetype="Network", resourceids=network, tags=[{"key": "a"}])
    assert cloud.list("listTags", cloud.user) == []
    assert "one of" in refused(cloud, "createTags", resourcetype="Stone", resourceids=network, tags=tag("a", "b")).text


def test_what_hangs_on_deleted_objects_is_gone(cloud: Cloud) -> None:
    zone = cloud.api(
        "createZone", name="z", networktype="Advanced", dns1="192.0.2.53", internaldns1="192.0.2.53"
    )["zone"]["id"]  # fmt: skip
    cloud.job("createTags", resourcetype="Zone", resourceids=zone, tags=tag("a", "b"))
    cloud.api("addAnnotation", entitytype="ZONE", entityid=zone, annotation="old")
    cloud.api("uploadResourceIcon", resourcetype="Zone", resourceids=zone, base64image=PICTURE)
    cloud.job("addResourceDetail", resourcetype="Zone", resourceid=zone, details={"k": "v"}, fordisplay=False)
    cloud.api("deleteZone", id=zone)
    assert cloud.list("listTags") == cloud.list("listAnnotations") == []
    sweeping.sweep(cloud.services)
    with cloud.services.database.read() as db:
        for table in (resource_tag, annotation, resource_icon, resource_detail):
            assert db.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == 0


def test_annotations(cloud: Cloud) -> None:
    zone = cloud.api(
        "createZone", name="z", networktype="Advanced", dns1="192.0.2.53", internaldns1="192.0.2.53",
        allocationstate="Enabled",
    )["zone"]["id"]  # fmt: skip
    assert cloud.list("listZones")[0]["hasannotations"] is False
    made = cloud.api("addAnnotation", entitytype="zone", entityid=zone, annotation="cooling fails", adminsonly=True)
    note = made["annotation"]
    assert (note["entitytype"], note["entityname"], note["username"]) == ("ZONE", "z", "admin")
    assert cloud.list("listZones")[0]["hasannotations"] is True
    assert cloud.list("listZones", cloud.user)[0]["hasannotations"] is False  # it is the admins' own
    cloud.api("updateAnnotationVisibility", id=note["id"], adminsonly=False)
    assert cloud.list("listZones", cloud.user)[0]["hasannotations"] is True
    assert [a["annotation"] for a in cloud.list("listAnnotations", entitytype="ZONE", entityid=zone)] == [
        "cooling fails"
    ]
    assert cloud.list("listAnnotations", keyword="fire") == []
    assert cloud.api("removeAnnotation", id=note["id"])["annotation"]["removed"]
    assert cloud.list("listAnnotations") == []
    assert "entityid" in refused(cloud, "addAnnotation", entitytype="ZONE", annotation="x").text


def test_icons(cloud: Cloud) -> None:
    domain = cloud.domain("tests")["id"]
    assert "picture" in refused(
        cloud, "uploadResourceIcon", resourcetype="Domain", resourceids=domain,
        base64image=base64.b64encode(b"text").decode(),
    ).text  # fmt: skip
    assert "base64" in refused(
        cloud, "uploadResourceIcon", resourcetype="Domain", resourceids=domain, base64image="!!"
    ).text  # fmt: skip
    cloud.api("uploadResourceIcon", resourcetype="domain", resourceids=domain, base64image=PICTURE)
    assert "icon" not in cloud.list("listDomains", id=domain)[0]
    (shown,) = cloud.list("listDomains", id=domain, showicon=True)
    assert shown["icon"] == {"base64image": PICTURE, "resourcetype": "Domain", "resourceid": domain}
    assert cloud.list("listResourceIcon", resourcetype="Domain", resourceids=domain) == [shown["icon"]]
    assert refused(
        cloud, "uploadResourceIcon", cloud.user, resourcetype="Domain", resourceids=domain, base64image=PICTURE
    ).code == 531  # fmt: skip
    cloud.api("deleteResourceIcon", resourcetype="Domain", resourceids=domain)
    assert cloud.list("listResourceIcon", resourcetype="Domain", resourceids=domain) == []
    assert "one of" in refused(cloud, "listResourceIcon", resourcetype="Host", resourceids=domain).text


def test_details(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    network = isolated_network(cloud, zone, "n1", **cloud.user.own)
    vm = machine(cloud, zone, network, "m1", **cloud.user.own)

    def keys(caller: Any = None, **more: Any) -> dict[str, str]:
        return {d["key"]: d["value"] for d in cloud.list("listResourceDetails", caller, resourcetype="UserVm", **more)}

    for key, value in (
        ("nic.multiqueue.number", "many"),
        ("extraconfig-1", "<devices/>"),
        ("keyboard", "x"),
        ("memory", "1"),
    ):
        error = refused(cloud, "addResourceDetail", resourcetype="UserVm", resourceid=vm["id"], details={key: value})
        assert error.code == 431
    cloud.job("addResourceDetail", resourcetype="UserVm", resourceid=vm["id"], details={"rack": "7"})
    cloud.job("addResourceDetail", resourcetype="uservm", resourceid=vm["id"], details={"why": "x"}, fordisplay=False)
    assert keys(resourceid=vm["id"]) == {"rack": "7", "why": "x"}
    assert keys(cloud.user) == {"rack": "7"}
    assert keys(cloud.other) == {}
    assert cloud.list("listVirtualMachines", cloud.user)[0]["details"] == {"rack": "7"}
    assert keys(resourceid=vm["id"], fordisplay=False) == {"why": "x"}
    assert refused(cloud, "listResourceDetails", cloud.other, resourcetype="UserVm", resourceid=vm["id"]).code == 531
    cloud.job("addResourceDetail", resourcetype="Network", resourceid=network, details={"owner": "team"})
    (found,) = cloud.list("listResourceDetails", cloud.user, resourcetype="Network")
    assert (found["key"], found["value"], found["resourceid"]) == ("owner", "team", network)
    cloud.job("addResourceDetail", resourcetype="Cluster", resourceid=zone["cluster"], details={"power": "a"})
    assert cloud.list("listClusters")[0]["resourcedetails"] == {"power": "a"}
    cloud.job("removeResourceDetail", resourcetype="UserVm", resourceid=vm["id"], key="rack")
    assert "no detail" in refused(
        cloud, "removeResourceDetail", resourcetype="UserVm", resourceid=vm["id"], key="rack"
    ).text  # fmt: skip
    cloud.job("removeResourceDetail", resourcetype="UserVm", resourceid=vm["id"])
    assert keys(resourceid=vm["id"]) == {}
    assert "memory" in cloud.api("listDetailOptions", resourcetype="UserVm")["detailoptions"]["details"]


def test_lists_cost_the_same_with_and_without_tags(cloud: Cloud) -> None:
    def statements(**parameters: Any) -> int:
        count = 0

        def counted(*_: Any) -> None:
            nonlocal count
            count += 1

        engine = cloud.services.database.engine
        sa.event.listen(engine, "before_cursor_execute", counted)
        try:
            cloud.list("listDomains", listall=True, **parameters)
        finally:
            sa.event.remove(engine, "before_cursor_execute", counted)
        return count

    ids = [cloud.domain(f"d{number}")["id"] for number in range(6)]
    cloud.api("listDomains")
    few = statements(id=ids[0], showicon=True)
    for id_ in ids:
        cloud.api("uploadResourceIcon", resourcetype="Domain", resourceids=id_, base64image=PICTURE)
        cloud.api("addAnnotation", entitytype="DOMAIN", entityid=id_, annotation="x")
    assert abs(statements(showicon=True) - few) <= 2  # background work of the server may fall in between


def test_on_postgresql(postgres_url: str, tmp_path: Path) -> None:
    with Cloud.start(tmp_path, database=postgres_url) as cloud:
        zone = simulated_zone(cloud, hosts=1)
        cloud.job("createTags", resourcetype="Zone", resourceids=zone["zone"], tags=tag("a", "b"))
        cloud.api("addAnnotation", entitytype="ZONE", entityid=zone["zone"], annotation="x")
        cloud.job("addResourceDetail", resourcetype="Zone", resourceid=zone["zone"], details={"k": "v"})
        (shown,) = cloud.list("listZones", tags=tag("a", "b"), showicon=True)
        assert (shown["tags"][0]["key"], shown["hasannotations"]) == ("a", True)
        assert len(cloud.list("listTags")) == len(cloud.list("listAnnotations")) == 1
        assert cloud.list("listResourceDetails", resourcetype="Zone", listall=True)[0]["value"] == "v"
        assert {"MEMORY", "STORAGE", "VLAN"} <= {each["name"] for each in cloud.list("listCapacity")}
        assert cloud.api("listDbMetrics")["dbMetrics"]["connections"] >= 1
        assert cloud.api("listInfrastructure")["infrastructure"]["hosts"] == 1
        assert cloud.list("listManagementServersMetrics")[0]["agentcount"] == 1
        cloud.api("updateConfiguration", name="expunge.delay", value="5")
        assert cloud.list("listConfigurations", name="expunge.delay")[0]["value"] == "5"
        cloud.job("generateAlert", type=1, name="x", description="y")
        assert len(cloud.list("listAlerts")) == 1
        assert cloud.list("listEvents", duration=1, entrytime=5) == []
        assert cloud.list("listOsCategories", zoneid=zone["zone"], isiso=False)
        cloud.api("deleteAlerts", type="1")
        cloud.api("archiveEvents", startdate="2020-01-01")
        sweeping.sweep(cloud.services)
        assert len(cloud.list("listTags")) == 1
