"""States of users and accounts, and what follows: sign-in, keys, sessions, machines; renamed and moved domains."""

from __future__ import annotations

import time

import pytest

from tests.support.cloud import PASSWORD, Cloud, Person, Refused
from tests.support.zones import isolated_network, machine, simulated_zone


def refused(cloud: Cloud, command: str, caller: Person | None = None, **parameters: object) -> Refused:
    with pytest.raises(Refused) as caught:
        cloud.job(command, caller, **parameters)
    return caught.value


def user_id(person: Person) -> str:
    return person.account["user"][0]["id"]


def sign_in(cloud: Cloud, person: Person, password: str = PASSWORD) -> dict[str, str]:
    """Sign in; return what the session's calls need, {} when refused."""
    cloud.forget_cookies()
    answer = cloud.request("login", None, username=person.name, password=password, domainid=person.account["domainid"])
    return {"sessionkey": answer.json()["loginresponse"]["sessionkey"]} if answer.status_code == 200 else {}


def session_works(cloud: Cloud, session: dict[str, str]) -> bool:
    return cloud.request("listZones", None, **session).status_code == 200


def keys_work(cloud: Cloud, person: Person) -> bool:
    return cloud.request("listZones", person).status_code == 200


def test_a_user_who_is_locked_or_disabled_is_out_at_once(cloud: Cloud):
    user, chief = cloud.user, cloud.domain_admin
    for command, state in (("lockUser", "locked"), ("disableUser", "disabled")):
        session = sign_in(cloud, user)
        assert session_works(cloud, session)
        assert keys_work(cloud, user)
        answer = cloud.job(command, chief, id=user_id(user)) if state == "disabled" else cloud.api(
            command, chief, id=user_id(user)
        )["user"]  # fmt: skip
        assert answer["state"] == state
        time.sleep(1.1)  # other servers remember callers for a second
        assert not session_works(cloud, session)
        assert not keys_work(cloud, user)
        assert sign_in(cloud, user) == {}
        assert cloud.api("enableUser", chief, id=user_id(user))["user"]["state"] == "enabled"
        assert keys_work(cloud, user)
    assert refused(cloud, "disableUser", cloud.foreign_admin, id=user_id(user)).code == 531
    assert refused(cloud, "disableUser", chief, id=user_id(chief)).code == 531
    admin = cloud.list("listUsers", username="admin", listall=True)[0]["id"]
    assert {refused(cloud, each, id=admin).code for each in ("disableUser", "lockUser", "deleteUser")} == {531}


def test_a_disabled_account_stops_its_machines_and_gets_nothing_new(cloud: Cloud):
    zone, user = simulated_zone(cloud), cloud.user
    network = isolated_network(cloud, zone, "n1", **user.own)
    made = machine(cloud, zone, network, "m1", **user.own)
    locked = cloud.job("disableAccount", lock=True, **user.own)
    assert locked["state"] == "locked"
    assert cloud.list("listVirtualMachines", id=made["id"], listall=True)[0]["state"] == "Running"
    assert cloud.job("disableAccount", lock=False, **user.own)["state"] == "disabled"
    assert cloud.list("listVirtualMachines", id=made["id"], listall=True)[0]["state"] == "Stopped"
    assert not keys_work(cloud, user)
    error = refused(
        cloud, "createNetwork", name="n2", displaytext="n2", zoneid=zone["zone"],
        networkofferingid=zone["networkoffering"], **user.own,
    )  # fmt: skip
    assert (error.code, "disabled" in error.text) == (531, True)
    assert cloud.api("enableAccount", id=user.account["id"])["account"]["state"] == "enabled"
    assert keys_work(cloud, user)
    assert cloud.api("lockAccount", **user.own)["account"]["state"] == "locked"
    assert cloud.api("enableAccount", id=user.account["id"])["account"]["state"] == "enabled"
    marked = cloud.job("markDefaultZoneForAccount", zoneid=zone["zone"], **user.own)
    assert marked["defaultzoneid"] == zone["zone"]
    chief = cloud.domain_admin
    assert refused(cloud, "disableAccount", chief, lock=False, id=chief.account["id"]).code == 531
    assert refused(cloud, "disableAccount", cloud.foreign_admin, lock=False, id=user.account["id"]).code == 531


def test_a_password_is_changed_with_the_current_one_and_ends_sessions(cloud: Cloud):
    user, other = cloud.user, cloud.other
    session = sign_in(cloud, user)
    new = "another password"
    assert refused(cloud, "updateUser", user, id=user_id(user), password=new).code == 431
    assert refused(cloud, "updateUser", user, id=user_id(user), password=new, currentpassword="wrong").code == 431
    assert refused(cloud, "updateUser", other, id=user_id(user), firstname="X").code == 531
    assert session_works(cloud, session)
    cloud.api("updateUser", user, id=user_id(user), password=new, currentpassword=PASSWORD)
    assert not session_works(cloud, session)
    assert sign_in(cloud, user) == {}
    assert sign_in(cloud, user, new)
    cloud.api("updateUser", id=user_id(user), password=PASSWORD)  # an admin needs no current one
    assert sign_in(cloud, user)


def test_users_are_changed_moved_and_deleted(cloud: Cloud):
    user, other = cloud.user, cloud.other
    changed = cloud.api(
        "updateUser", id=user_id(user), firstname="New", email="new@cloud.test", timezone="Europe/London"
    )
    assert (changed["user"]["firstname"], changed["user"]["timezone"]) == ("New", "Europe/London")
    assert refused(cloud, "updateUser", id=user_id(user), username="OTHER").code == 431
    assert refused(cloud, "updateUser", id=user_id(user), userapikey="k").code == 431
    cloud.api("updateUser", id=user_id(user), userapikey="key-of-user", usersecretkey="secret")
    assert cloud.api("getUser", userapikey="key-of-user")["user"]["id"] == user_id(user)
    assert keys_work(cloud, Person("user", "key-of-user", "secret"))
    cloud.api("moveUser", id=user_id(user), accountid=other.account["id"])
    assert cloud.list("listUsers", id=user_id(user), listall=True)[0]["account"] == "other"
    assert refused(cloud, "moveUser", id=user_id(user), accountid=cloud.stranger.account["id"]).code == 431
    cloud.api("deleteUser", id=user_id(user))
    assert not keys_work(cloud, Person("user", "key-of-user", "secret"))
    assert refused(cloud, "getUser", userapikey="key-of-user").code == 431


def test_api_keys_can_be_forbidden(cloud: Cloud):
    user = cloud.user
    cloud.api("updateAccount", id=user.account["id"], apikeyaccess="Disabled")
    assert not keys_work(cloud, user)
    assert cloud.list("listAccounts", id=user.account["id"])[0]["apikeyaccess"] == "DISABLED"
    assert [a["name"] for a in cloud.list("listAccounts", listall=True, apikeyaccess="disabled")] == ["user"]
    assert user_id(user) in [u["id"] for u in cloud.list("listUsers", listall=True, apikeyaccess="inherit")]
    assert refused(cloud, "listUsers", apikeyaccess="perhaps").code == 431
    cloud.api("updateUser", id=user_id(user), apikeyaccess="Enabled")
    assert keys_work(cloud, user)
    cloud.api("updateUser", id=user_id(user), apikeyaccess="Inherit")
    cloud.api("updateAccount", id=user.account["id"], apikeyaccess="Inherit")
    assert keys_work(cloud, user)
    cloud.api("updateConfiguration", name="api.key.access", value="false", domainid=user.account["domainid"])
    time.sleep(2.1)
    assert not keys_work(cloud, user)
    assert sign_in(cloud, user)


def test_passwords_follow_the_policy_of_the_domain(cloud: Cloud):
    user = cloud.user
    for name, value in (("minimum.length", 12), ("minimum.digits", 2), ("minimum.uppercase.letters", 1)):
        cloud.api("updateConfiguration", name=f"password.policy.{name}", value=value, domainid=user.account["domainid"])
    cloud.api(
        "updateConfiguration", name="password.policy.allowPasswordToContainUsername", value="false",
        domainid=user.account["domainid"],
    )  # fmt: skip
    time.sleep(1.1)
    for bad in ("Short12", "nodigitsatallHere", "noupper1234567", "User12345678"):
        assert refused(cloud, "updateUser", id=user_id(user), password=bad).code == 431
    cloud.api("updateUser", id=user_id(user), password="Long enough 42")
    assert cloud.api("updateUser", id=user_id(cloud.stranger), password="short")  # another domain


def test_accounts_are_changed(cloud: Cloud):
    user = cloud.user
    changed = cloud.api(
        "updateAccount", id=user.account["id"], newname="renamed", networkdomain="renamed.test",
        accountdetails={"a": "b"},
    )["account"]  # fmt: skip
    assert (changed["name"], changed["networkdomain"], changed["accountdetails"]) == (
        "renamed", "renamed.test", {"a": "b"},
    )  # fmt: skip
    assert refused(cloud, "updateAccount", id=user.account["id"], newname=cloud.other.account["name"]).code == 431
    chief = cloud.domain_admin
    boss = next(each["roleid"] for each in cloud.list("listAccounts", listall=True) if each["name"] == "admin")
    assert refused(cloud, "updateAccount", chief, id=user.account["id"], roleid=boss).code == 531
    allowed = cloud.api("isAccountAllowedToCreateOfferingsWithTags", id=user.account["id"])["isallowed"]
    assert allowed == {"isallowed": False}


def test_domains_are_renamed_and_moved_with_all_below_them(cloud: Cloud):
    user = cloud.user
    tests = user.account["domainid"]
    lower = cloud.api("createDomain", name="lower", parentdomainid=tests)["domain"]["id"]
    leaf = cloud.api("createDomain", name="leaf", parentdomainid=lower)["domain"]["id"]
    place = cloud.api("createDomain", name="place")["domain"]["id"]
    assert cloud.api("updateDomain", id=tests, name="trials")["domain"]["path"] == "ROOT/trials"
    assert cloud.list("listDomains", id=leaf)[0]["path"] == "ROOT/trials/lower/leaf"
    assert [each["path"] for each in cloud.list("listDomainChildren", id=tests)] == ["ROOT/trials/lower"]
    assert len(cloud.list("listDomainChildren", id=tests, isrecursive=True)) == 2
    assert refused(cloud, "moveDomain", domainid=tests, parentdomainid=leaf).code == 431
    moved = cloud.api("moveDomain", domainid=lower, parentdomainid=place)["domain"]
    assert (moved["path"], moved["level"], moved["parentdomainname"]) == ("ROOT/place/lower", 2, "place")
    (found,) = cloud.list("listDomains", id=leaf)
    assert (found["path"], found["level"]) == ("ROOT/place/lower/leaf", 3)
    assert keys_work(cloud, user)
    assert cloud.list("listAccounts", id=user.account["id"])[0]["domainpath"] == "ROOT/trials"
    zone = simulated_zone(cloud)
    isolated_network(cloud, zone, "n1", **user.own)
    cloud.api("updateResourceLimit", resourcetype=6, max=0, domainid=place)
    assert refused(cloud, "moveDomain", domainid=tests, parentdomainid=place).code == 535
    assert refused(cloud, "updateDomain", id=tests, name="PLACE").code == 431
    assert refused(cloud, "moveDomain", cloud.domain_admin, domainid=lower, parentdomainid=tests).code in (401, 432)
