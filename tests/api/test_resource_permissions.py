"""Sharing templates and networks with other accounts and with projects."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cloud import Cloud, Person, Refused
from tests.support.zones import isolated_network, machine, simulated_zone


@pytest.fixture
def zone(cloud: Cloud) -> dict[str, str]:
    """Return a zone whose template is the user's, and private."""
    made = simulated_zone(cloud, hosts=2)
    made["template"] = cloud.api(
        "registerTemplate", name="private", displaytext="p", format="QCOW2", hypervisor="Simulator",
        url="http://images.test/private.qcow2", zoneid=made["zone"],
        account=cloud.user.account["name"], domainid=cloud.user.account["domainid"],
    )["template"][0]["id"]  # fmt: skip
    return made


@pytest.fixture
def network(cloud: Cloud, zone: dict[str, str]) -> str:
    """Return a network of the user."""
    return isolated_network(cloud, zone, "shared", **cloud.user.own)


def refused(cloud: Cloud, code: int, command: str, caller: Person | None = None, **parameters: Any) -> str:
    with pytest.raises(Refused) as caught:
        cloud.api(command, caller, **parameters)
    assert caught.value.code == code, caught.value.text
    return caught.value.text


def templates(cloud: Cloud, caller: Person, kind: str = "shared", **more: Any) -> list[str]:
    return [one["name"] for one in cloud.list("listTemplates", caller, templatefilter=kind, **more)]


def networks(cloud: Cloud, caller: Person, **more: Any) -> list[str]:
    return [one["name"] for one in cloud.list("listNetworks", caller, **more)]


def test_a_template_is_for_those_whom_its_owner_names(cloud: Cloud, zone: dict[str, str]) -> None:
    user, other, template = cloud.user, cloud.other, zone["template"]
    own = isolated_network(cloud, zone, "others", **other.own)
    assert "no permission" in refused(
        cloud, 531, "deployVirtualMachine", other, zoneid=zone["zone"], templateid=template,
        serviceofferingid=zone["offering"], networkids=own,
    )  # fmt: skip
    answer = cloud.api("updateTemplatePermissions", user, id=template, op="add", accounts=other.account["name"])
    assert answer == {"success": True}
    assert templates(cloud, other) == templates(cloud, other, "sharedexecutable") == ["private"]
    assert templates(cloud, cloud.root, **other.own) == ["private"]
    assert templates(cloud, cloud.stranger) == templates(cloud, user) == []
    assert cloud.list("listTemplates", other, templatefilter="shared", id=template)[0]["ispublic"] is False
    assert cloud.job(
        "deployVirtualMachine", other, name="m1", zoneid=zone["zone"], templateid=template,
        serviceofferingid=zone["offering"], networkids=own,
    )["state"] == "Running"  # fmt: skip
    for command, more in (("deleteTemplate", {}), ("updateTemplatePermissions", {"ispublic": True})):
        refused(cloud, 531, command, other, id=template, **more)
    refused(cloud, 531, "listTemplatePermissions", other, id=template)
    cloud.api("updateTemplatePermissions", user, id=template, op="remove", accounts=other.account["name"])
    assert templates(cloud, other) == []
    refused(cloud, 531, "listTemplates", other, templatefilter="shared", id=template)


def test_who_may_use_a_template_is_told_to_its_owner(cloud: Cloud, zone: dict[str, str]) -> None:
    template = zone["template"]
    project = cloud.job("createProject", cloud.user, name="apollo", displaytext="moon")["id"]
    assert cloud.api("listTemplatePermissions", cloud.user, id=template) == {
        "templatepermission": {"id": template, "ispublic": False}
    }
    names = ",".join(person.account["name"] for person in (cloud.other, cloud.domain_admin))
    for _ in range(2):  # twice is once
        cloud.api("updateTemplatePermissions", cloud.user, id=template, op="add", accounts=names, projectids=project)
    found = cloud.api("listTemplatePermissions", cloud.root, id=template)["templatepermission"]
    assert found == {
        "id": template,
        "ispublic": False,
        "domainid": cloud.user.account["domainid"],
        "account": ["chief", "other"],
        "projectids": [project],
    }
    assert templates(cloud, cloud.user, projectid=project) == ["private"]
    cloud.api("updateTemplatePermissions", cloud.user, id=template, ispublic=True)
    assert "private" in templates(cloud, cloud.stranger, "community")
    cloud.api("updateTemplatePermissions", cloud.user, id=template, op="reset")
    found = cloud.api("listTemplatePermissions", cloud.user, id=template)["templatepermission"]
    assert found == {"id": template, "ispublic": False}
    assert cloud.list("listEvents", cloud.user, type="TEMPLATE.UPDATE")


def test_refused_permissions_of_templates_change_nothing(cloud: Cloud, zone: dict[str, str]) -> None:
    user, template = cloud.user, zone["template"]
    name = cloud.other.account["name"]
    assert cloud.stranger
    for code, more, word in (
        (431, {"op": "add", "accounts": f"{name},stranger"}, "stranger"),  # of another domain
        (431, {"op": "add"}, "accounts"),
        (431, {"op": "share", "accounts": name}, "add, remove, reset"),
        (431, {"accounts": name}, "op"),
        (431, {"op": "reset", "accounts": name}, "op"),
        (431, {"op": "add", "projectids": template}, "projectids"),
        (531, {"isfeatured": True, "ispublic": True}, "isfeatured"),
        (531, {"isextractable": True}, "isextractable"),
    ):
        assert word in refused(cloud, code, "updateTemplatePermissions", user, id=template, **more)
    for caller in (cloud.other, cloud.stranger, cloud.foreign_admin):
        refused(cloud, 531, "updateTemplatePermissions", caller, id=template, op="add", accounts=name)
    found = cloud.api("listTemplatePermissions", user, id=template)["templatepermission"]
    assert found == {"id": template, "ispublic": False}
    shown = cloud.list("listTemplates", user, templatefilter="self", id=template)[0]
    assert (shown["isfeatured"], shown["isextractable"]) == (False, False)


def test_a_network_takes_machines_of_those_whom_its_owner_names(
    cloud: Cloud, zone: dict[str, str], network: str
) -> None:
    user, other = cloud.user, cloud.other
    cloud.api("updateTemplatePermissions", id=zone["template"], ispublic=True)
    assert networks(cloud, other) == []
    answer = cloud.api("createNetworkPermissions", user, networkid=network, accounts=other.account["name"])
    assert answer == {"success": True}
    for more in ({}, {"networkfilter": "shared"}, {"networkfilter": "all"}, {"id": network}, {"listall": True}):
        assert networks(cloud, other, **more) == ["shared"], more
    for kind in ("account", "accountdomain", "domain"):
        assert networks(cloud, other, networkfilter=kind) == [], kind
    assert networks(cloud, cloud.root, networkfilter="shared", **other.own) == ["shared"]
    assert networks(cloud, user, networkfilter="shared") == networks(cloud, cloud.stranger) == []
    made = cloud.job(
        "deployVirtualMachine", other, name="guest", zoneid=zone["zone"], templateid=zone["template"],
        serviceofferingid=zone["offering"], networkids=network,
    )  # fmt: skip
    assert (made["account"], made["nic"][0]["networkid"]) == (other.account["name"], network)
    for command, more in (
        ("deleteNetwork", {"id": network}),
        ("updateNetwork", {"id": network, "name": "mine"}),
        ("restartNetwork", {"id": network}),
        ("associateIpAddress", {"networkid": network}),
        ("createEgressFirewallRule", {"networkid": network, "protocol": "tcp"}),
        ("createNetworkPermissions", {"networkid": network, "accounts": "chief"}),
        ("listNetworkPermissions", {"networkid": network}),
        ("createTags", {"resourceids": network, "resourcetype": "Network", "tags[0].key": "a", "tags[0].value": "b"}),
    ):
        refused(cloud, 531, command, other, **more)
    assert "guest" in refused_job(cloud, "deleteNetwork", user, id=network)
    cloud.api("removeNetworkPermissions", user, networkid=network, accountids=other.account["id"])
    assert networks(cloud, other) == []
    refused(cloud, 531, "listNetworks", other, id=network)
    assert cloud.list("listVirtualMachines", other)[0]["state"] == "Running"
    cloud.job("stopVirtualMachine", other, id=made["id"])
    assert cloud.job("startVirtualMachine", other, id=made["id"])["state"] == "Running"


def refused_job(cloud: Cloud, command: str, caller: Person, **parameters: Any) -> str:
    with pytest.raises(Refused) as caught:
        cloud.job(command, caller, **parameters)
    return caught.value.text


def test_networks_are_shared_with_projects_and_taken_back(cloud: Cloud, zone: dict[str, str], network: str) -> None:
    user, other = cloud.user, cloud.other
    project = cloud.job("createProject", other, name="apollo", displaytext="moon")["id"]
    refused(cloud, 531, "createNetworkPermissions", user, networkid=network, projectids=project)  # not a member
    cloud.api("createNetworkPermissions", networkid=network, projectids=project, accountids=other.account["id"])
    cloud.api("createNetworkPermissions", networkid=network, accounts=other.account["name"])
    shared = cloud.list("listNetworkPermissions", user, networkid=network)
    domain = {"networkid": network, "domainid": user.account["domainid"], "domain": user.account["domain"]}
    assert sorted(shared, key=str) == sorted(
        [
            domain | {"accountid": other.account["id"], "account": other.account["name"]},
            domain | {"projectid": project, "project": "apollo"},
        ],
        key=str,
    )
    assert networks(cloud, other, projectid=project) == networks(cloud, other, projectid=-1) == ["shared"]
    cloud.api("updateTemplatePermissions", id=zone["template"], ispublic=True)
    assert machine(cloud, zone, network, "eagle", projectid=project)["project"] == "apollo"
    assert cloud.api("resetNetworkPermissions", user, networkid=network) == {"success": True}
    assert cloud.api("listNetworkPermissions", user, networkid=network) == {}
    assert networks(cloud, other, projectid=project) == []


def test_refused_permissions_of_networks_change_nothing(cloud: Cloud, zone: dict[str, str], network: str) -> None:
    assert cloud.other
    far = cloud.stranger.account["id"]
    for command in ("createNetworkPermissions", "removeNetworkPermissions"):
        assert "accountids" in refused(cloud, 431, command, cloud.user, networkid=network)
        assert "stranger" in refused(cloud, 431, command, cloud.user, networkid=network, accounts="other,stranger")
        assert "accountids" in refused(cloud, 431, command, cloud.user, networkid=network, accountids="x")
        assert "domain" in refused(cloud, 531, command, cloud.user, networkid=network, accountids=far)
        refused(cloud, 431, command, cloud.user, accounts="other")
        refused(cloud, 531, command, cloud.other, networkid=network, accounts="other")
    assert cloud.api("listNetworkPermissions", cloud.user, networkid=network) == {}
    cloud.api("createNetworkPermissions", networkid=network, accountids=far)  # a root admin may
    assert networks(cloud, cloud.stranger) == ["shared"]


def test_permissions_go_with_the_account(cloud: Cloud, zone: dict[str, str], network: str) -> None:
    other = cloud.person("passing")
    cloud.api("createNetworkPermissions", cloud.user, networkid=network, accounts="passing")
    cloud.api("updateTemplatePermissions", cloud.user, id=zone["template"], op="add", accounts="passing")
    cloud.job("deleteAccount", id=other.account["id"])
    assert cloud.api("listNetworkPermissions", cloud.user, networkid=network) == {}
    assert "account" not in cloud.api("listTemplatePermissions", cloud.user, id=zone["template"])["templatepermission"]


def test_owners_of_shared_networks_stay_while_others_use_them(cloud: Cloud, zone: dict[str, str], network: str) -> None:
    user, other = cloud.user, cloud.other
    cloud.api("createNetworkPermissions", networkid=network, accountids=other.account["id"])
    cloud.api("updateTemplatePermissions", id=zone["template"], ispublic=True)
    own = machine(cloud, zone, network, "own", account="user", domainid=user.account["domainid"])
    machine(cloud, zone, network, "guest", account="other", domainid=other.account["domainid"])
    assert "guest" in refused(cloud, 536, "deleteAccount", id=user.account["id"])
    assert cloud.list("listVirtualMachines", id=own["id"])[0]["state"] == "Running", "nothing was begun"
    assert cloud.list("listAccounts", id=user.account["id"])[0]["state"] == "enabled"
    cloud.job("deleteDomain", id=user.account["domainid"], cleanup=True)
    assert cloud.list("listVirtualMachines", listall=True) == []
    assert cloud.list("listAccounts", listall=True, name="user") == []


def test_projects_with_guests_stay(cloud: Cloud, zone: dict[str, str]) -> None:
    user, other = cloud.user, cloud.other
    project = cloud.job("createProject", user, name="apollo", displaytext="moon")["id"]
    shared = isolated_network(cloud, zone, "shared", projectid=project)
    cloud.api("createNetworkPermissions", networkid=shared, accountids=other.account["id"])
    cloud.api("updateTemplatePermissions", id=zone["template"], ispublic=True)
    guest = machine(cloud, zone, shared, "guest", account="other", domainid=other.account["domainid"])
    assert "guest" in refused(cloud, 536, "deleteProject", id=project, cleanup=True)
    assert cloud.list("listProjects", id=project)[0]["state"] == "Active"
    cloud.job("destroyVirtualMachine", id=guest["id"], expunge=True)
    cloud.job("deleteProject", id=project, cleanup=True)
    assert cloud.list("listProjects", listall=True) == []
