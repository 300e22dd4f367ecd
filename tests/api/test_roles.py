"""Roles: ordered rules, the default roles, and that nobody gives more than the own role allows."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from pileus.identity import roles
from pileus.identity.tables import role_permission
from tests.support.cloud import PASSWORD, Cloud, Person, Refused

PROFILE = {"password": PASSWORD, "firstname": "F", "lastname": "L", "email": "f@l.test"}


def refused(cloud: Cloud, command: str, caller: Person | None = None, **parameters: object) -> Refused:
    with pytest.raises(Refused) as caught:
        cloud.api(command, caller, **parameters)
    return caught.value


def role(cloud: Cloud, name: str) -> dict[str, Any]:
    return cloud.list("listRoles", name=name)[0]


def made(cloud: Cloud, *rules: tuple[str, str], name: str = "made", type_: str = "User") -> dict[str, Any]:
    entries = [{"rule": rule, "permission": permission} for rule, permission in rules]
    return cloud.api("importRole", name=name, type=type_, rules=entries)["role"]


def person(cloud: Cloud, name: str, role_id: str) -> Person:
    account = cloud.api("createAccount", username=name, roleid=role_id, **PROFILE)["account"]
    keys = cloud.api("registerUserKeys", id=account["user"][0]["id"])["userkeys"]
    return Person(name, keys["apikey"], keys["secretkey"], account)


def apis(cloud: Cloud, caller: Person) -> set[str]:
    return {api["name"] for api in cloud.list("listApis", caller)}


def test_a_cloud_has_the_eight_default_roles(cloud: Cloud):
    found = {r["name"]: r["type"] for r in cloud.list("listRoles")}
    assert found == {
        "Root Admin": "Admin",
        "Resource Admin": "ResourceAdmin",
        "Domain Admin": "DomainAdmin",
        "User": "User",
        "Read-Only Admin - Default": "Admin",
        "Read-Only User - Default": "User",
        "Support Admin - Default": "Admin",
        "Support User - Default": "User",
    }
    (rule,) = cloud.list("listRolePermissions", roleid=role(cloud, "Root Admin")["id"])
    assert (rule["rule"], rule["permission"], rule["rolename"]) == ("*", "allow", "Root Admin")
    default = role(cloud, "User")["id"]
    assert refused(cloud, "updateRole", id=default, name="x").code == 531
    assert refused(cloud, "deleteRole", id=default).code == 531
    assert refused(cloud, "disableRole", id=default).code == 531
    assert refused(cloud, "createRolePermission", roleid=default, rule="*", permission="allow").code == 531


def test_the_first_rule_that_matches_decides(cloud: Cloud):
    made_ = made(cloud, ("listVolumes", "deny"), ("LIST*", "allow"), ("listZones", "deny"))
    caller = person(cloud, "ann", made_["id"])
    names = apis(cloud, caller)
    assert {"listZones", "listApis"} <= names
    assert not {"listVolumes", "stopVirtualMachine"} & names
    assert "listHosts" not in names  # no rule opens it to a user
    assert cloud.list("listZones", caller) == []
    assert refused(cloud, "listVolumes", caller).code == 401
    assert refused(cloud, "listHosts", caller).code == 401
    rules = cloud.list("listRolePermissions", roleid=made_["id"])
    order = [rules[2]["id"], rules[1]["id"], rules[0]["id"]]
    assert refused(cloud, "updateRolePermission", roleid=made_["id"], ruleorder=order[:2]).code == 431
    cloud.api("updateRolePermission", roleid=made_["id"], ruleorder=order)
    assert refused(cloud, "listZones", caller).code == 401
    assert cloud.list("listVolumes", caller) == []
    cloud.api("updateRolePermission", roleid=made_["id"], ruleid=order[0], permission="allow")
    assert cloud.list("listZones", caller) == []
    cloud.api("deleteRolePermission", id=order[1])
    assert refused(cloud, "listVolumes", caller).code == 401
    cloud.api("createRolePermission", roleid=made_["id"], rule="listVol*", permission="allow", description="more")
    assert cloud.list("listRolePermissions", roleid=made_["id"])[-1]["description"] == "more"
    assert refused(cloud, "createRolePermission", roleid=made_["id"], rule="a b", permission="allow").code == 431
    assert refused(cloud, "createRolePermission", roleid=made_["id"], rule="a", permission="perhaps").code == 431


def test_a_role_is_copied_changed_disabled_and_deleted(cloud: Cloud):
    copy = cloud.api("createRole", name="copy", roleid=role(cloud, "User")["id"], description="a copy")["role"]
    assert (copy["type"], copy["isdefault"], copy["ispublic"], copy["state"]) == ("User", False, True, "enabled")
    assert len(cloud.list("listRolePermissions", roleid=copy["id"])) > 100
    caller = person(cloud, "bob", copy["id"])
    assert apis(cloud, caller) == apis(cloud, cloud.user)
    cloud.api("disableRole", id=copy["id"])
    assert refused(cloud, "listZones", caller).code == 401
    assert refused(cloud, "createAccount", username="eve", roleid=copy["id"], **PROFILE).code == 431
    cloud.api("enableRole", id=copy["id"])
    assert cloud.list("listZones", caller) == []
    assert refused(cloud, "updateRole", id=copy["id"], type="DomainAdmin").code == 536
    assert cloud.api("updateRole", id=copy["id"], name="other")["role"]["name"] == "other"
    assert refused(cloud, "deleteRole", id=copy["id"]).code == 536
    cloud.job("deleteAccount", id=caller.account["id"])
    cloud.api("deleteRole", id=copy["id"])
    assert cloud.list("listRoles", name="other") == []
    assert cloud.api("createRole", name="other", type="User")["role"]["name"] == "other"
    assert refused(cloud, "createRole", name="OTHER", type="User").code == 431
    assert refused(cloud, "createRole", name="third", type="King").code == 431
    assert refused(cloud, "createRole", name="third").code == 431


def test_importing_replaces_when_forced(cloud: Cloud):
    first = made(cloud, ("listZones", "allow"))
    again = {"name": "made", "type": "User", "rules": [{"rule": "listApis", "permission": "allow"}]}
    assert refused(cloud, "importRole", **again).code == 431
    second = cloud.api("importRole", forced=True, **again)["role"]
    assert second["id"] == first["id"]
    assert [r["rule"] for r in cloud.list("listRolePermissions", roleid=first["id"])] == ["listApis"]
    assert refused(cloud, "importRole", name="User", type="User", forced=True, rules=again["rules"]).code == 531


def test_nobody_climbs_by_roles(cloud: Cloud):
    rules = [
        ("*Role*", "allow"),
        ("*Account*", "allow"),
        ("*UserKeys", "allow"),
        ("*User", "allow"),
        ("list*", "allow"),
    ]
    clerk = person(cloud, "clerk", made(cloud, *rules, name="clerk", type_="Admin")["id"])
    root = cloud.list("listAccounts", clerk, name="admin", listall=True)[0]
    for command in ("getUserKeys", "registerUserKeys", "deleteUser"):
        if command in apis(cloud, clerk):
            assert refused(cloud, command, clerk, id=root["user"][0]["id"]).code == 531, command
    top = role(cloud, "Root Admin")["id"]
    assert refused(cloud, "createAccount", clerk, username="new", roleid=top, **PROFILE).code == 531
    own = role(cloud, "clerk")["id"]
    assert refused(cloud, "createRolePermission", clerk, roleid=own, rule="*", permission="allow").code == 531
    assert refused(cloud, "createRole", clerk, name="copy", roleid=top).code == 531
    assert cloud.list("listRoles", name="copy") == []
    assert cloud.api("createRole", clerk, name="empty", type="Admin")["role"]["name"] == "empty"


def test_domain_admins_see_the_roles_that_they_may_give(cloud: Cloud):
    cloud.api("createRole", name="secret", type="User", ispublic=False)
    names = {r["name"] for r in cloud.list("listRoles", cloud.domain_admin)}
    assert {"User", "Domain Admin"} <= names
    assert not {"secret", "Root Admin", "Resource Admin"} & names
    secret = role(cloud, "secret")["id"]
    assert refused(cloud, "createAccount", cloud.domain_admin, username="x", roleid=secret, **PROFILE).code == 531
    assert refused(cloud, "listRoles", cloud.user).code == 401


ANYBODY = {
    "forgotPassword",
    "login",
    "logout",
    "resetPassword",
    "setupUserTwoFactorAuthentication",
    "validateUserTwoFactorAuthenticationCode",
}
"""What concerns nothing but the own sign-in."""


@pytest.mark.parametrize("kind", ["Admin", "User"])
def test_read_only_roles_read(cloud: Cloud, kind: str):
    names = apis(cloud, person(cloud, "reader", role(cloud, f"Read-Only {kind} - Default")["id"])) - ANYBODY
    assert {"listVirtualMachines", "listZones", "queryAsyncJobResult"} <= names
    assert ("listHosts" in names) is (kind == "Admin")
    assert {name for name in names if not name.startswith(("list", "get", "find", "query"))} == set()
    assert not {name for name in names if name.startswith("getUploadParams")} | ({"getUserKeys"} & names)


def test_support_users_help_with_what_is_there(cloud: Cloud):
    names = apis(cloud, person(cloud, "helper", role(cloud, "Support User - Default")["id"])) - ANYBODY
    assert {"startVirtualMachine", "stopVirtualMachine", "rebootVirtualMachine", "listVirtualMachines"} <= names
    made = ("create", "deploy", "register", "upload", "add", "delete", "destroy", "expunge", "remove", "update")
    assert {name for name in names if name.startswith(made)} <= {"createConsoleEndpoint"}
    assert "getUserKeys" not in names


def test_support_admins_make_offerings_and_maintain_but_change_no_infrastructure(cloud: Cloud):
    helper = person(cloud, "helper", role(cloud, "Support Admin - Default")["id"])
    names = apis(cloud, helper)
    assert {
        "createServiceOffering",
        "createDiskOffering",
        "createNetworkOffering",
        "prepareHostForMaintenance",
        "cancelHostMaintenance",
        "registerTemplate",
        "startVirtualMachine",
    } <= names
    for word in ("Zone", "Pod", "Cluster", "PhysicalNetwork", "Account", "Domain", "User", "Configuration", "Role"):
        changes = {name for name in names if name.endswith(word) and not name.startswith(("list", "get", "find"))}
        assert changes <= {"startKubernetesCluster", "stopKubernetesCluster"}, word
    assert (
        not {"deployVirtualMachine", "destroyVirtualMachine", "deleteServiceOffering", "addHost", "deleteHost"} & names
    )
    made_ = cloud.api(
        "createServiceOffering", helper, name="small", displaytext="s", cpunumber=1, cpuspeed=500, memory=128
    )
    assert made_["serviceoffering"]["name"] == "small"
    assert refused(cloud, "deleteServiceOffering", helper, id=made_["serviceoffering"]["id"]).code == 401
    assert refused(cloud, "createZone", helper, name="z", dns1="10.0.0.1", internaldns1="10.0.0.1").code == 401


def test_a_new_version_rewrites_the_rules_of_default_roles(cloud: Cloud):
    support = role(cloud, "Support User - Default")["id"]
    before = [(each["rule"], each["permission"]) for each in cloud.list("listRolePermissions", roleid=support)]
    with cloud.services.database.write() as db:
        db.execute(sa.update(role_permission).where(role_permission.c.rule == "get*").values(rule="createVolume"))
        roles.seed(db)
    after = [(each["rule"], each["permission"]) for each in cloud.list("listRolePermissions", roleid=support)]
    assert after == before
