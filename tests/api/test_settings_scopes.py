"""Scopes of settings: the nearest value holds, at once and without a restart; what is wrong changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from pileus.core import settings
from pileus.core.tables import setting
from pileus.resources import watching
from tests.api.test_sessions import Neighbour
from tests.api.test_zones import refused
from tests.support.cloud import Cloud
from tests.support.waiting import until
from tests.support.zones import isolated_network, machine, simulated_zone

MEMORY = "cluster.memory.allocated.capacity.notificationthreshold"
DESTROYED = "allow.user.view.destroyed.vm"
TAGGED = "allow.domain.admins.to.create.tagged.offerings"


def put(cloud: Cloud, name: str, value: Any, **scope: Any) -> dict[str, Any]:
    return cloud.api("updateConfiguration", name=name, value=value, **scope)["configuration"]


def reset(cloud: Cloud, name: str, **scope: Any) -> dict[str, Any]:
    return cloud.api("resetConfiguration", name=name, **scope)["configuration"]


def shown(cloud: Cloud, name: str, **scope: Any) -> str:
    (one,) = cloud.list("listConfigurations", name=name, **scope)
    return one["value"]


def walk(cloud: Cloud, name: str, holds: Callable[[], bool], account: str, domain: str) -> None:
    """Give a setting values everywhere, for a domain and for an account, and take them back: the nearest one holds."""
    of_domain, of_account = {"domainid": domain}, {"accountid": account}
    assert not holds()
    put(cloud, name, "true")
    assert holds()
    put(cloud, name, "false", **of_domain)
    assert not holds()
    put(cloud, name, "true", **of_account)
    assert holds()
    values = [shown(cloud, name, **scope) for scope in ({}, of_domain, of_account)]
    assert values == ["true", "false", "true"]
    put(cloud, name, "false", **of_account)
    put(cloud, name, "true", **of_domain)
    assert not holds()
    assert reset(cloud, name, **of_account)["value"] == "true"
    assert holds()
    reset(cloud, name, **of_domain)
    assert holds()
    assert reset(cloud, name)["value"] == "false"
    assert not holds()


def test_an_account_s_value_comes_before_its_domain_s_and_that_before_the_global_one(cloud: Cloud) -> None:
    zone, user = simulated_zone(cloud, hosts=1), cloud.user
    made = machine(cloud, zone, isolated_network(cloud, zone, "n1", **user.own), "m1", **user.own)
    cloud.job("destroyVirtualMachine", id=made["id"])
    account, domain = user.account["id"], user.account["domainid"]
    walk(cloud, DESTROYED, lambda: cloud.list("listVirtualMachines", user) != [], account, domain)


def test_the_same_for_what_admins_of_domains_may(cloud: Cloud) -> None:
    chief = cloud.domain_admin
    account, domain = chief.account["id"], chief.account["domainid"]

    def may() -> bool:
        said = cloud.api("isAccountAllowedToCreateOfferingsWithTags", id=account)["isallowed"]["isallowed"]
        order: dict[str, Any] = {"name": "d", "displaytext": "d", "disksize": 1, "tags": "ssd", "domainid": domain}
        done = cloud.request("createDiskOffering", chief, **order).status_code == 200
        assert said is done
        return done

    walk(cloud, TAGGED, may, account, domain)


def test_a_cluster_s_value_comes_before_the_global_one(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    machine(cloud, zone, isolated_network(cloud, zone, "n1"), "m1")

    def alerted() -> bool:
        cloud.services.plugins["resources.capacity.checked"] = -1e9
        watching.check_capacity(cloud.services)
        found = cloud.list("listAlerts")
        for each in found:
            cloud.api("deleteAlerts", ids=each["id"])
        return found != []

    put(cloud, MEMORY, 0)
    assert alerted()
    put(cloud, MEMORY, 1, clusterid=zone["cluster"])
    assert not alerted()
    reset(cloud, MEMORY, clusterid=zone["cluster"])
    assert alerted()
    reset(cloud, MEMORY)
    assert not alerted()


def test_each_scope_lists_what_may_differ_there(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    store = cloud.list("listImageStores")[0]["id"]
    objects: dict[str, dict[str, Any]] = {
        "zone": {"zoneid": zone["zone"]},
        "cluster": {"clusterid": zone["cluster"]},
        "pool": {"storageid": zone["pool"]},
        "domain": {"domainid": cloud.user.account["domainid"]},
        "account": {"accountid": cloud.user.account["id"]},
        "imagestore": {"imagestoreuuid": store},
    }
    declared = settings.declared()
    for scope, of in objects.items():
        names = {name for name, handle in declared.items() if scope in handle.scopes}
        assert {each["name"] for each in cloud.list("listConfigurations", pagesize=500, page=1, **of)} == names, scope
        elsewhere = next(name for name, handle in sorted(declared.items()) if scope not in handle.scopes)
        error = refused(cloud, "updateConfiguration", name=elsewhere, value="1", **of)
        assert (error.code, "has no value for a" in error.text) == (431, True), scope
        by = {"imagestoreid": store} if scope == "imagestore" else of
        assert refused(cloud, "resetConfiguration", name=elsewhere, **by).code == 431


def test_filters_of_the_list(cloud: Cloud) -> None:
    def names(**filters: Any) -> set[str]:
        return {each["name"] for each in cloud.list("listConfigurations", pagesize=500, page=1, **filters)}

    declared = settings.declared()
    assert names(name="PING.interval") == {"ping.interval"}
    assert names(name="ping") == set()
    assert names(keyword="PING.") == {name for name, each in declared.items() if "ping." in name + each.description}
    secure = {name for name, handle in declared.items() if handle.secure}
    assert names(category="Secure") == secure
    assert names(category="Advanced") == set(declared) - secure
    assert names(group="limits") >= {"max.account.networks"}
    assert names(group="Access", subgroup="Projects") == {
        name for name in declared if name.startswith(("project.", "allow.user.create.projects"))
    }
    assert names(group="Nothing") == names(parent="ping.interval") == set()
    wide = cloud.api("listConfigurations", page=1, pagesize=3)
    assert (len(wide["configuration"]), wide["count"]) == (3, len(declared))


def wrong_of(handle: settings.Setting[Any]) -> list[str]:
    """Return values that a setting cannot have."""
    if handle.type is bool:
        return ["yes", "1", ""]
    if handle.type is str:
        return ["no such option"] if handle.options else []
    found = ["many", "", "1e999", "nan"] + (["1.5"] if handle.type is int else [])
    found += [] if handle.minimum is None else [str(handle.type(handle.minimum) - 1)]
    return found + ([] if handle.maximum is None else [str(handle.type(handle.maximum) + 1)])


WRONG_TEXTS = {
    "alert.email.addresses": "ops@cloud.test; nobody",
    "alert.email.sender": "the cloud <ops@cloud.test>",
    "alert.smtp.enabledSecurityProtocols": "SSLv3",
    "api.allowed.source.cidr.list": "192.0.2.0/33",
    "expunged.resources.purge.resources": "Volume",
    "expunged.resources.purge.start.time": "soon",
    "guest.domain.suffix": "no_domain..internal",
    "host": "192.0.2.1, :x",
    "host.maintenance.local.storage.strategy": "Hope",
    "password.policy.regex": "([a-z",
    "project.email.sender": "a@x.test,b@x.test",
    "proxy.cidr": "everywhere",
    "secstorage.allowed.internal.sites": "example.org",
    "secstorage.proxy": "socks5://proxy",
    "user.password.reset.email.sender": "nobody",
    "user.password.reset.mail.domain.url": "cloud.example.org",
}


def test_what_a_setting_cannot_be_is_refused_with_a_reason(cloud: Cloud) -> None:
    for name, handle in settings.declared().items():
        texts = [WRONG_TEXTS[name]] if name in WRONG_TEXTS else []
        for value in wrong_of(handle) + texts:
            error = refused(cloud, "updateConfiguration", name=name, value=value)
            assert (error.code, f"parameter value: {name} " in error.text) == (431, True), (name, value)
    with cloud.services.database.read() as db:
        assert db.execute(sa.select(setting)).all() == []


@pytest.mark.parametrize("bad", ["", "no such", "ping.interval.", "%"])
def test_only_settings_that_there_are_have_values(cloud: Cloud, bad: str) -> None:
    for command in ("updateConfiguration", "resetConfiguration"):
        assert refused(cloud, command, name=bad, value="1").code == 431


def test_who_may_change_what(cloud: Cloud) -> None:
    chief, user = cloud.domain_admin, cloud.user
    own = {"domainid": chief.account["domainid"]}
    for scope in (own, {"accountid": user.account["id"]}):
        assert cloud.api("updateConfiguration", chief, name=DESTROYED, value="true", **scope)
        assert shown(cloud, DESTROYED, **scope) == "true"
        assert refused(cloud, "resetConfiguration", chief, name=DESTROYED, **scope).code == 401
    foreign = {"domainid": cloud.stranger.account["domainid"]}, {"accountid": cloud.stranger.account["id"]}
    for scope in foreign:
        assert refused(cloud, "updateConfiguration", chief, name=DESTROYED, value="true", **scope).code == 531
        assert refused(cloud, "listConfigurations", chief, **scope).code == 531
    assert refused(cloud, "updateConfiguration", chief, name=DESTROYED, value="true").code == 531
    assert refused(cloud, "updateConfiguration", user, name=DESTROYED, value="true", **own).code == 401


def test_a_change_holds_on_every_server_without_a_restart(cloud: Cloud) -> None:
    other = Neighbour(cloud)
    try:

        def minutes() -> float:
            answer = other.post("login", username="admin", password=cloud.password)
            return answer.json()["loginresponse"]["timeout"] / 60

        assert minutes() == 30
        put(cloud, "session.timeout", 7)
        until(lambda: minutes() == 7, 5)
        reset(cloud, "session.timeout")
        until(lambda: minutes() == 30, 5)
    finally:
        other.services.database.close()
