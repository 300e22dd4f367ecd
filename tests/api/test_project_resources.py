"""What projects own: made by members, seen by members, stopped and deleted with the project."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cloud import Cloud, Person, Refused
from tests.support.zones import isolated_network, machine, simulated_zone


@pytest.fixture
def zone(cloud: Cloud) -> dict[str, str]:
    return simulated_zone(cloud, hosts=2)


@pytest.fixture
def project(cloud: Cloud) -> str:
    id_ = cloud.job("createProject", cloud.user, name="apollo", displaytext="To the moon")["id"]
    name = cloud.other.account["name"]
    cloud.job("addAccountToProject", cloud.user, projectid=id_, account=name)
    return id_


def refused(cloud: Cloud, command: str, caller: Person | None = None, **parameters: object) -> Refused:
    with pytest.raises(Refused) as caught:
        ended(cloud, command, caller, **parameters)
    return caught.value


def ended(cloud: Cloud, command: str, caller: Person | None, **parameters: object) -> None:
    answer = cloud.api(command, caller, **parameters)
    if "jobid" in answer:
        cloud.wait(command, answer["jobid"])


def deployed(cloud: Cloud, zone: dict[str, str], project: str, name: str) -> dict[str, Any]:
    """Deploy a machine of the project, in its own network, as the member who did not make the project."""
    found = cloud.list("listNetworks", cloud.other, projectid=project)
    network = found[0]["id"] if found else isolated_network(cloud, zone, "inner", projectid=project)
    return cloud.job(
        "deployVirtualMachine",
        cloud.other,
        name=name,
        zoneid=zone["zone"],
        templateid=zone["template"],
        serviceofferingid=zone["offering"],
        networkids=network,
        projectid=project,
    )


def ids(cloud: Cloud, command: str, caller: Person | None = None, **parameters: object) -> list[str]:
    return [item["id"] for item in cloud.list(command, caller, **parameters)]


def test_members_share_what_the_project_owns(cloud: Cloud, zone: dict[str, str], project: str) -> None:
    made = deployed(cloud, zone, project, "eagle")
    assert (made["state"], made["project"], made["projectid"]) == ("Running", "apollo", project)
    assert "account" not in made
    for member in (cloud.user, cloud.other, cloud.domain_admin, cloud.root):
        assert ids(cloud, "listVirtualMachines", member, projectid=project) == [made["id"]]
        assert ids(cloud, "listVirtualMachines", member, id=made["id"]) == [made["id"]]
        assert ids(cloud, "listVirtualMachines", member) == []
        (volume,) = cloud.list("listVolumes", member, projectid=project)
        assert (volume["project"], "account" in volume) == ("apollo", False)
        (network,) = cloud.list("listNetworks", member, projectid=project)
        assert network["projectid"] == project
    tag = {"resourceids": made["id"], "resourcetype": "UserVm", "tags": [{"key": "a", "value": "b"}]}
    cloud.job("createTags", cloud.other, **tag)
    (shown,) = cloud.list("listVirtualMachines", cloud.user, projectid=project)[0]["tags"]
    assert (shown["key"], shown["project"], "account" in shown) == ("a", "apollo", False)
    (limit,) = cloud.list("listResourceLimits", cloud.user, projectid=project, resourcetype=0)
    assert (limit["projectid"], "account" in limit) == (project, False)
    assert cloud.list("listProjects", cloud.user)[0]["vmrunning"] == 1
    cloud.job("stopVirtualMachine", cloud.user, id=made["id"], forced=True)
    cloud.job("startVirtualMachine", cloud.other, id=made["id"])


def test_minus_one_is_every_project(cloud: Cloud, zone: dict[str, str], project: str) -> None:
    made = deployed(cloud, zone, project, "eagle")["id"]
    own = machine(cloud, zone, isolated_network(cloud, zone, "own", **cloud.user.own), "own", **cloud.user.own)["id"]
    assert ids(cloud, "listVirtualMachines", cloud.user, listall=True) == [own]
    assert ids(cloud, "listVirtualMachines", cloud.user, projectid=-1) == [made]
    assert ids(cloud, "listVirtualMachines", cloud.stranger, projectid=-1) == []
    assert ids(cloud, "listVirtualMachines", listall=True) == [own]
    assert ids(cloud, "listVirtualMachines", projectid=-1) == [made]
    assert sorted(ids(cloud, "listVirtualMachines", projectid=-1, listall=True)) == sorted([own, made])
    assert refused(cloud, "listVirtualMachines", cloud.user, projectid=project, account="user").code == 431
    assert {e["project"] for e in cloud.list("listEvents", cloud.user, projectid=-1)} == {"apollo"}


def test_nobody_else_reaches_them(cloud: Cloud, zone: dict[str, str], project: str) -> None:
    made = deployed(cloud, zone, project, "eagle")["id"]
    outsider = cloud.person("outsider")
    for caller in (outsider, cloud.stranger, cloud.foreign_admin):
        assert refused(cloud, "listVirtualMachines", caller, projectid=project).code == 531
        assert refused(cloud, "listVirtualMachines", caller, id=made).code == 531
        assert refused(cloud, "stopVirtualMachine", caller, id=made).code == 531
        asked = {"zoneid": zone["zone"], "networkofferingid": zone["networkoffering"], "projectid": project}
        assert refused(cloud, "createNetwork", caller, name="x", **asked).code == 531
    cloud.job("deleteAccountFromProject", cloud.user, projectid=project, account="other")
    assert refused(cloud, "stopVirtualMachine", cloud.other, id=made).code == 531


def test_a_project_role_holds_for_its_machines(cloud: Cloud, zone: dict[str, str], project: str) -> None:
    made = deployed(cloud, zone, project, "eagle")["id"]
    role = cloud.api("createProjectRole", cloud.user, projectid=project, name="looker")["projectrole"]["id"]
    rule = {"projectid": project, "projectroleid": role, "rule": "*VirtualMachine", "permission": "deny"}
    cloud.api("createProjectRolePermission", cloud.user, **rule)
    guest = cloud.person("guest").account["name"]
    cloud.job("addAccountToProject", cloud.user, projectid=project, account=guest, projectroleid=role)
    assert ids(cloud, "listVirtualMachines", cloud.person("guest"), projectid=project) == [made]
    answer = refused(cloud, "stopVirtualMachine", cloud.person("guest"), id=made)
    assert (answer.code, "project role" in answer.text) == (531, True)


def test_a_project_role_holds_for_addresses_by_name_too(cloud: Cloud, zone: dict[str, str], project: str) -> None:
    network = isolated_network(cloud, zone, "n1", projectid=project)
    cloud.job("associateIpAddress", networkid=network)
    made = cloud.job("associateIpAddress", networkid=network)
    role = cloud.api("createProjectRole", cloud.user, projectid=project, name="keeper")["projectrole"]["id"]
    rule = {"projectid": project, "projectroleid": role, "rule": "disassociateIpAddress", "permission": "deny"}
    cloud.api("createProjectRolePermission", cloud.user, **rule)
    guest = cloud.person("guest")
    cloud.job("addAccountToProject", cloud.user, projectid=project, account=guest.account["name"], projectroleid=role)
    for named in ({"id": made["id"]}, {"ipaddress": made["ipaddress"]}):
        answer = refused(cloud, "disassociateIpAddress", guest, **named)
        assert (answer.code, "project role" in answer.text) == (531, True)


def test_suspension_stops_the_machines(cloud: Cloud, zone: dict[str, str], project: str) -> None:
    made = deployed(cloud, zone, project, "eagle")["id"]
    assert cloud.job("suspendProject", cloud.user, id=project)["state"] == "Suspended"
    assert cloud.list("listVirtualMachines", id=made)[0]["state"] == "Stopped"
    with pytest.raises(Refused) as caught:
        deployed(cloud, zone, project, "later")
    assert (caught.value.code, "suspended" in caught.value.text) == (531, True)
    assert refused(cloud, "startVirtualMachine", cloud.other, id=made).code == 531
    cloud.job("activateProject", cloud.user, id=project)
    cloud.job("startVirtualMachine", cloud.other, id=made)


def test_cleanup_deletes_what_it_owns(cloud: Cloud, zone: dict[str, str], project: str) -> None:
    deployed(cloud, zone, project, "eagle")
    answer = refused(cloud, "deleteProject", cloud.user, id=project)
    assert (answer.code, "machine" in answer.text) == (536, True)
    assert cloud.job("deleteProject", cloud.user, id=project, cleanup=True, limit=60) == {"success": True}
    assert cloud.list("listVirtualMachines", listall=True, projectid=-1) == []
    assert cloud.list("listNetworks", listall=True, projectid=-1) == []
    assert cloud.list("listVolumes", listall=True, projectid=-1) == []
    assert cloud.list("listProjects", listall=True) == []
