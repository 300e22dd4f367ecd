"""Resource limits: what holds, who sets it, and that no number of calls at a time gets past it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pileus.identity.limits import counting
from tests.support.cloud import Cloud, Person, Refused
from tests.support.zones import isolated_network, machine, simulated_zone

GIB = 1 << 30


def refused(cloud: Cloud, command: str, caller: Person | None = None, **parameters: object) -> Refused:
    with pytest.raises(Refused) as caught:
        cloud.job(command, caller, **parameters)
    return caught.value


def most(cloud: Cloud, kind: int, caller: Person | None = None, **whose: object) -> int:
    (found,) = cloud.list("listResourceLimits", caller, resourcetype=kind, **whose)
    return found["max"]


def counts(cloud: Cloud, person: Person) -> dict[str, int]:
    """Return what a person has, by kind; the rows must say the same."""
    with cloud.services.database.read() as db:
        assert counting.differences(db, None) == {}
    found = cloud.list("updateResourceCount", **person.own)
    return {each["resourcetypename"]: each["resourcecount"] for each in found if each["resourcecount"]}


def test_limits_have_defaults_and_are_set_by_those_above(cloud: Cloud):
    user, chief = cloud.user, cloud.domain_admin
    found = {each["resourcetypename"]: each["max"] for each in cloud.list("listResourceLimits", user)}
    assert len(found) == 17
    assert (found["user_vm"], found["cpu"], found["memory"], found["secondary_storage"]) == (20, 40, 40960, 400)
    assert {each["max"] for each in cloud.list("listResourceLimits")} == {-1}  # root admins have none
    domain = user.account["domainid"]
    assert most(cloud, 0, domainid=domain) == 40
    made = cloud.api("updateResourceLimit", chief, resourcetype=0, max=3, **user.own)["resourcelimit"]
    assert (made["account"], made["max"], made["resourcetype"], made["resourcetypename"]) == ("user", 3, "0", "user_vm")
    assert most(cloud, 0, user) == 3
    cloud.api("updateResourceLimit", resourcetype=0, max=5, domainid=domain)
    assert most(cloud, 0, chief, domainid=domain) == 5
    below = cloud.api("createDomain", chief, name="below")["domain"]["id"]
    assert refused(cloud, "updateResourceLimit", chief, resourcetype=0, max=6, domainid=below).code == 431
    assert refused(cloud, "updateResourceLimit", chief, resourcetype=0, max=-1, domainid=below).code == 431
    assert cloud.api("updateResourceLimit", chief, resourcetype=0, max=5, domainid=below)


def test_who_may_not_set_which_limit(cloud: Cloud):
    user, chief, foreign = cloud.user, cloud.domain_admin, cloud.foreign_admin
    own = chief.account["domainid"]
    assert refused(cloud, "updateResourceLimit", user, resourcetype=0, max=9, **user.own).code in (401, 432)
    assert refused(cloud, "updateResourceLimit", chief, resourcetype=0, max=9, **chief.own).code == 531
    assert refused(cloud, "updateResourceLimit", chief, resourcetype=0, max=9, domainid=own).code == 531
    assert refused(cloud, "updateResourceLimit", foreign, resourcetype=0, max=9, **user.own).code == 531
    assert refused(cloud, "listResourceLimits", foreign, **user.own).code == 531
    assert refused(cloud, "listResourceLimits", user, domainid=own).code == 531
    root = cloud.list("listDomains")[0]["id"]
    assert refused(cloud, "updateResourceLimit", resourcetype=0, max=9, domainid=root).code == 531
    assert refused(cloud, "updateResourceLimit", resourcetype=0, max=9, account="admin", domainid=root).code == 431
    assert refused(cloud, "updateResourceLimit", resourcetype=17, max=9, domainid=own).code == 431
    assert refused(cloud, "updateResourceLimit", resourcetype=0, max=-2, domainid=own).code == 431
    assert refused(cloud, "updateResourceLimit", resourcetype=0, max=9).code == 431


def test_what_is_made_counts_and_is_given_back(cloud: Cloud):
    zone, user = simulated_zone(cloud), cloud.user
    network = isolated_network(cloud, zone, "n1", **user.own)
    assert counts(cloud, user) == {"network": 1}
    made = machine(cloud, zone, network, "m1", **user.own)
    whole = {
        "network": 1,
        "public_ip": 1,
        "user_vm": 1,
        "volume": 1,
        "cpu": 1,
        "memory": 512,
        "primary_storage": 8 * GIB,
    }
    assert counts(cloud, user) == whole
    (account,) = cloud.list("listAccounts", id=user.account["id"])
    assert (account["vmtotal"], account["vmlimit"], account["vmavailable"]) == (1, "20", "19")
    assert (account["primarystoragetotal"], account["primarystorageavailable"]) == (8, "192")
    (domain,) = cloud.list("listDomains", id=user.account["domainid"])
    assert (domain["vmtotal"], domain["vmlimit"], domain["cputotal"]) == (1, "40", 1)
    (root,) = cloud.list("listDomains", level=0)
    assert (root["vmtotal"], root["vmlimit"], root["vmavailable"]) == (1, "Unlimited", "Unlimited")
    cloud.job("stopVirtualMachine", id=made["id"])
    assert counts(cloud, user) == whole  # a machine that is off counts like one that runs
    cloud.job("destroyVirtualMachine", id=made["id"])
    assert "user_vm" not in counts(cloud, user)
    cloud.api("updateResourceLimit", resourcetype=0, max=0, **user.own)
    assert refused(cloud, "recoverVirtualMachine", id=made["id"]).code == 535
    cloud.api("updateResourceLimit", resourcetype=0, max=1, **user.own)
    cloud.api("recoverVirtualMachine", id=made["id"])
    assert counts(cloud, user) == whole
    cloud.job("destroyVirtualMachine", id=made["id"], expunge=True)
    cloud.job("deleteNetwork", id=network)
    assert counts(cloud, user) == {}


@pytest.mark.parametrize(("kind", "limit"), [(8, 0), (9, 511), (2, 0), (10, 7)])
def test_every_part_of_a_machine_is_limited(cloud: Cloud, kind: int, limit: int):
    zone, user = simulated_zone(cloud), cloud.user
    network = isolated_network(cloud, zone, "n1", **user.own)
    cloud.api("updateResourceLimit", resourcetype=kind, max=limit, **user.own)
    error = refused(
        cloud, "deployVirtualMachine", zoneid=zone["zone"], templateid=zone["template"],
        serviceofferingid=zone["offering"], networkids=network, **user.own,
    )  # fmt: skip
    assert (error.code, error.body["cserrorcode"], "account user may have" in error.text) == (535, 4370, True)
    assert counts(cloud, user) == {"network": 1}


def test_networks_addresses_and_templates_are_limited(cloud: Cloud):
    zone, user = simulated_zone(cloud), cloud.user
    network = isolated_network(cloud, zone, "n1", **user.own)
    for kind in (1, 4, 6):
        cloud.api("updateResourceLimit", resourcetype=kind, max=1, **user.own)
    more = {"zoneid": zone["zone"], "networkofferingid": zone["networkoffering"]}
    assert refused(cloud, "createNetwork", user, name="n2", displaytext="n2", **more).code == 535
    assert cloud.job("associateIpAddress", user, networkid=network)
    assert refused(cloud, "associateIpAddress", user, networkid=network).code == 535
    template = {
        "name": "t", "displaytext": "t", "format": "QCOW2", "hypervisor": "Simulator", "zoneid": zone["zone"],
        "url": "http://images.test/t.qcow2",
    }  # fmt: skip
    (made,) = cloud.api("registerTemplate", user, **template)["template"]
    assert counts(cloud, user)["secondary_storage"] == 8 * GIB
    assert refused(cloud, "registerTemplate", user, **template).code == 535
    cloud.job("deleteTemplate", user, id=made["id"])
    assert "secondary_storage" not in counts(cloud, user)
    cloud.api("updateResourceLimit", resourcetype=11, max=7, **user.own)
    assert refused(cloud, "registerTemplate", user, **template).code == 535


def test_every_domain_above_limits_too(cloud: Cloud):
    zone, user = simulated_zone(cloud), cloud.user
    upper = user.account["domainid"]
    lower = cloud.api("createDomain", name="lower", parentdomainid=upper)["domain"]["id"]
    inner = cloud.person("inner", domain="lower")
    assert inner.account["domainid"] == lower
    cloud.api("updateResourceLimit", resourcetype=6, max=2, domainid=upper)
    isolated_network(cloud, zone, "n1", **user.own)
    isolated_network(cloud, zone, "n2", **inner.own)
    more = {"zoneid": zone["zone"], "networkofferingid": zone["networkoffering"], "name": "n3", "displaytext": "n3"}
    for each in (user, inner):
        error = refused(cloud, "createNetwork", each, **more)
        assert (error.code, "domain ROOT/tests may have 2" in error.text) == (535, True)
    (shown,) = cloud.list("listDomains", id=upper)
    assert (shown["networktotal"], shown["networkavailable"]) == (2, "0")


def at_once(cloud: Cloud, number: int, limit: int) -> None:
    """Call for more addresses and machines at a time than there may be; exactly as many succeed."""
    zone, user = simulated_zone(cloud), cloud.user
    network = isolated_network(cloud, zone, "n1", **user.own)
    machine(cloud, zone, network, "m0", **user.own)  # implements the network: the source NAT address counts
    cloud.api("updateResourceLimit", resourcetype=0, max=limit + 1, **user.own)
    cloud.api("updateResourceLimit", resourcetype=1, max=limit + 1, domainid=user.account["domainid"])
    gate = threading.Barrier(10)

    def one(n: int) -> int:
        if n < 10:
            gate.wait(30)
        try:
            if n % 2:
                cloud.api("associateIpAddress", user, networkid=network)
            else:
                cloud.api(
                    "deployVirtualMachine", zoneid=zone["zone"], templateid=zone["template"], startvm=False,
                    serviceofferingid=zone["offering"], networkids=network, **user.own,
                )  # fmt: skip
        except Refused as error:
            if error.code != 535:
                raise
            return 0
        return 1

    with ThreadPoolExecutor(10) as pool:
        made = list(pool.map(one, range(2 * number)))
    assert (sum(made[::2]), sum(made[1::2])) == (limit, limit)
    found = counts(cloud, user)
    assert (found["user_vm"], found["public_ip"]) == (limit + 1, limit + 1)


def test_fifty_at_once_at_a_limit(cloud: Cloud):
    at_once(cloud, 50, 7)


@pytest.mark.postgres
def test_fifty_at_once_at_a_limit_on_postgresql(tmp_path: Path, postgres_url: str):
    with Cloud.start(tmp_path, database=postgres_url) as cloud:
        at_once(cloud, 50, 7)


def test_the_counts_are_put_right_when_they_were_made_wrong(cloud: Cloud):
    zone, user = simulated_zone(cloud), cloud.user
    isolated_network(cloud, zone, "n1", **user.own)
    with cloud.services.database.write() as db:
        db.exec_driver_sql("UPDATE resource_count SET amount = 5 WHERE type = 6")
        assert counting.differences(db, None)
    found = cloud.list("updateResourceCount", domainid=user.account["domainid"], resourcetype=6)
    assert [each["resourcecount"] for each in found] == [1]
    assert counts(cloud, user) == {"network": 1}
