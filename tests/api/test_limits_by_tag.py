"""Limits by host and storage tag, and counts of running machines only: what is shown, and that nothing gets past."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.cloud import Cloud, Person, Refused
from tests.support.zones import isolated_network, machine, simulated_zone

GIB = 1 << 30
HOST_TAGS, STORAGE_TAGS = "resource.limit.host.tags", "resource.limit.storage.tags"
RUNNING_ONLY = "resource.count.running.vms.only"


def refused(cloud: Cloud, command: str, caller: Person | None = None, **parameters: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        cloud.job(command, caller, **parameters)
    return caught.value


def setting(cloud: Cloud, name: str, value: str) -> None:
    cloud.api("updateConfiguration", name=name, value=value)


def tagged(cloud: Cloud, zone: dict[str, str]) -> dict[str, str]:
    """Tag the hosts, add a tagged pool, name the tags in the settings, and return offerings that ask for them."""
    for host in cloud.list("listHosts", zoneid=zone["zone"], type="Routing"):
        cloud.api("updateHost", id=host["id"], hosttags="fast,gold")
    cloud.api(
        "createStoragePool", zoneid=zone["zone"], name="ssd", url="nfs://nas/ssd", scope="zone", hypervisor="Simulator",
        tags="ssd",
    )  # fmt: skip
    setting(cloud, HOST_TAGS, "fast, rare")
    setting(cloud, STORAGE_TAGS, "ssd")
    size = {"cpunumber": 2, "cpuspeed": 500, "memory": 256}
    made = cloud.api(
        "createServiceOffering", name="fast", displaytext="fast", hosttags="fast,gold", tags="ssd", **size
    )  # fmt: skip
    disk = cloud.api("createDiskOffering", name="quick", displaytext="quick", disksize=3, tags="ssd")
    return zone | {"fast": made["serviceoffering"]["id"], "quick": disk["diskoffering"]["id"]}


def deploy(cloud: Cloud, zone: dict[str, str], network: str, name: str, **more: Any) -> dict[str, Any]:
    return machine(cloud, zone | {"offering": zone["fast"]}, network, name, **more)


def totals(cloud: Cloud, command: str, **more: Any) -> dict[tuple[str, str], tuple[int, int, int]]:
    (found,) = cloud.list(command, **more)
    return {
        (each["resourcetypename"], each["tag"]): (each["limit"], each["total"], each["available"])
        for each in found.get("taggedresources", [])
    }


def test_what_offerings_with_a_tag_give_counts_for_the_tag(cloud: Cloud):
    zone, user = tagged(cloud, simulated_zone(cloud)), cloud.user
    network = isolated_network(cloud, zone, "n1", **user.own)
    machine(cloud, zone, network, "plain", **user.own)  # an offering without tags, which tagged hosts take too
    made = deploy(cloud, zone, network, "fast", diskofferingid=zone["quick"], **user.own)
    cloud.api("updateResourceLimit", resourcetype=8, max=5, tag="fast", **user.own)
    assert totals(cloud, "listAccounts", id=user.account["id"]) == {
        ("user_vm", "fast"): (20, 1, 19),
        ("user_vm", "rare"): (20, 0, 20),
        ("cpu", "fast"): (5, 2, 3),
        ("cpu", "rare"): (40, 0, 40),
        ("memory", "fast"): (40960, 256, 40704),
        ("memory", "rare"): (40960, 0, 40960),
        ("volume", "ssd"): (20, 2, 18),
        ("primary_storage", "ssd"): (200, 11, 189),
    }
    assert set(totals(cloud, "listAccounts", id=user.account["id"], tag="ssd")) == {
        ("volume", "ssd"), ("primary_storage", "ssd"),
    }  # fmt: skip
    domain = user.account["domainid"]
    assert totals(cloud, "listDomains", id=domain, tag="fast")["memory", "fast"] == (81920, 256, 81664)
    assert totals(cloud, "listDomains", level=0, tag="fast")["user_vm", "fast"] == (-1, 1, -1)
    assert totals(cloud, "listAccounts", id=user.account["id"], details="min") == {}
    found = cloud.list("updateResourceCount", tag="ssd", **user.own)
    assert {each["resourcetypename"]: each["resourcecount"] for each in found} == {
        "volume": 2, "primary_storage": 11 * GIB,
    }  # fmt: skip
    (of_domain,) = cloud.list("updateResourceCount", domainid=domain, tag="fast", resourcetype=8)
    assert (of_domain["resourcecount"], of_domain["tag"]) == (2, "fast")
    cloud.job("destroyVirtualMachine", id=made["id"], expunge=True)
    assert totals(cloud, "listAccounts", id=user.account["id"], tag="fast")["user_vm", "fast"] == (20, 0, 20)
    setting(cloud, HOST_TAGS, "")
    setting(cloud, STORAGE_TAGS, "")
    assert totals(cloud, "listAccounts", id=user.account["id"]) == {}


def test_limits_by_tag_are_set_listed_and_refused(cloud: Cloud):
    user, chief = cloud.user, cloud.domain_admin
    setting(cloud, HOST_TAGS, "fast")
    made = cloud.api("updateResourceLimit", chief, resourcetype=0, max=3, tag="fast", **user.own)["resourcelimit"]
    assert (made["tag"], made["max"], made["resourcetypename"], made["account"]) == ("fast", 3, "user_vm", "user")
    limits = {
        (each["resourcetypename"], each.get("tag")): each["max"] for each in cloud.list("listResourceLimits", user)
    }
    assert (limits["user_vm", None], limits["user_vm", "fast"], limits["cpu", "fast"]) == (20, 3, 40)
    (one,) = cloud.list("listResourceLimits", user, resourcetype=0, tag="fast")
    assert (one["max"], one["tag"]) == (3, "fast")
    assert cloud.list("listResourceLimits", user, tag="none") == []
    domain = user.account["domainid"]
    cloud.api("updateResourceLimit", resourcetype=0, max=4, tag="fast", domainid=domain)
    below = cloud.api("createDomain", chief, name="below")["domain"]["id"]
    assert refused(cloud, "updateResourceLimit", chief, resourcetype=0, max=5, tag="fast", domainid=below).code == 431
    assert cloud.api("updateResourceLimit", chief, resourcetype=0, max=4, tag="fast", domainid=below)
    for kind, tag in ((0, "slow"), (1, "fast"), (2, "fast")):  # not named; addresses have no tags; no storage tag
        assert refused(cloud, "updateResourceLimit", resourcetype=kind, max=1, tag=tag, **user.own).code == 431
    for who in (user, cloud.foreign_admin):
        error = refused(cloud, "updateResourceLimit", who, resourcetype=0, max=9, tag="fast", **user.own)
        assert error.code in (401, 432, 531)


def test_projects_have_limits_by_tag_too(cloud: Cloud):
    zone = tagged(cloud, simulated_zone(cloud))
    project = cloud.job("createProject", cloud.user, name="apollo", displaytext="x")["id"]
    deploy(cloud, zone, isolated_network(cloud, zone, "n1", projectid=project), "m1", projectid=project)
    cloud.api("updateResourceLimit", resourcetype=8, max=3, tag="fast", projectid=project)
    found = totals(cloud, "listProjects", id=project)
    assert (found["cpu", "fast"], found["primary_storage", "ssd"]) == ((3, 2, 1), (200, 8, 192))
    (limit,) = cloud.list("listResourceLimits", cloud.user, projectid=project, resourcetype=8, tag="fast")
    assert (limit["project"], limit["max"]) == ("apollo", 3)


def test_what_is_over_the_limit_of_a_tag_is_refused(cloud: Cloud):
    zone, user = tagged(cloud, simulated_zone(cloud)), cloud.user
    network = isolated_network(cloud, zone, "n1", **user.own)
    cloud.api("updateResourceLimit", resourcetype=9, max=500, tag="fast", **user.own)
    made = deploy(cloud, zone, network, "m1", **user.own)
    order = {"zoneid": zone["zone"], "templateid": zone["template"], "networkids": network, **user.own}
    error = refused(cloud, "deployVirtualMachine", serviceofferingid=zone["fast"], **order)
    assert (error.code, error.body["cserrorcode"]) == (535, 4370)
    assert "with tag 'fast'" in error.text
    assert "account user may have 500 MiB of memory" in error.text
    machine(cloud, zone, network, "m2", **user.own)  # the other offering has no such tag
    cloud.api("updateResourceLimit", resourcetype=9, max=-1, tag="fast", **user.own)
    cloud.api("updateResourceLimit", resourcetype=10, max=20, tag="ssd", domainid=user.account["domainid"])
    error = refused(cloud, "deployVirtualMachine", serviceofferingid=zone["fast"], rootdisksize=13, **order)
    assert (error.code, "domain ROOT/tests may have 20" in error.text, "'ssd'" in error.text) == (535, True, True)
    cloud.job("destroyVirtualMachine", id=made["id"])
    cloud.api("updateResourceLimit", resourcetype=8, max=1, tag="fast", domainid=user.account["domainid"])
    assert refused(cloud, "recoverVirtualMachine", id=made["id"]).code == 535
    cloud.api("updateResourceLimit", resourcetype=8, max=2, tag="fast", domainid=user.account["domainid"])
    assert cloud.api("recoverVirtualMachine", id=made["id"])


def test_a_domain_moves_only_where_its_tagged_machines_fit(cloud: Cloud):
    zone, inner = tagged(cloud, simulated_zone(cloud)), cloud.person("inner", domain="moved")
    deploy(cloud, zone, isolated_network(cloud, zone, "n1", **inner.own), "m1", **inner.own)
    target = cloud.domain("target")["id"]
    cloud.api("updateResourceLimit", resourcetype=0, max=0, tag="fast", domainid=target)
    move = {"domainid": inner.account["domainid"], "parentdomainid": target}
    assert refused(cloud, "moveDomain", **move).code == 535
    cloud.api("updateResourceLimit", resourcetype=0, max=1, tag="fast", domainid=target)
    assert cloud.api("moveDomain", **move)


def test_another_offering_counts_for_its_tags(cloud: Cloud):
    zone, user = tagged(cloud, simulated_zone(cloud)), cloud.user
    network = isolated_network(cloud, zone, "n1", **user.own)
    made = machine(cloud, zone, network, "m1", startvm=False, **user.own)
    change = {"id": made["id"], "serviceofferingid": zone["fast"]}
    for kind, tag, enough in ((8, "fast", 2), (2, "ssd", 1)):
        cloud.api("updateResourceLimit", resourcetype=kind, max=enough - 1, tag=tag, **user.own)
        error = refused(cloud, "changeServiceForVirtualMachine", **change)
        assert (error.code, f"with tag '{tag}'" in error.text) == (535, True)
        cloud.api("updateResourceLimit", resourcetype=kind, max=enough, tag=tag, **user.own)
    cloud.api("changeServiceForVirtualMachine", **change)
    found = totals(cloud, "listAccounts", id=user.account["id"])
    assert (found["cpu", "fast"], found["volume", "ssd"]) == ((2, 2, 0), (1, 1, 0))
    cloud.api("changeServiceForVirtualMachine", id=made["id"], serviceofferingid=zone["offering"])
    assert totals(cloud, "listAccounts", id=user.account["id"])["cpu", "fast"] == (2, 0, 2)


def at_once(cloud: Cloud, limit: int) -> None:
    """Call for fifty machines with a tag at a time; exactly as many succeed as there may be."""
    zone, user = tagged(cloud, simulated_zone(cloud)), cloud.user
    network = isolated_network(cloud, zone, "n1", **user.own)
    cloud.api("updateResourceLimit", resourcetype=0, max=limit, tag="fast", **user.own)
    gate = threading.Barrier(10)

    def one(n: int) -> int:
        if n < 10:
            gate.wait(30)
        try:
            cloud.api(
                "deployVirtualMachine", zoneid=zone["zone"], templateid=zone["template"], startvm=False,
                serviceofferingid=zone["fast"], networkids=network, **user.own,
            )  # fmt: skip
        except Refused as error:
            if error.code != 535:
                raise
            return 0
        return 1

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(one, range(50))) == limit
    assert totals(cloud, "listAccounts", id=user.account["id"], tag="fast")["user_vm", "fast"] == (limit, limit, 0)


def test_fifty_at_once_at_the_limit_of_a_tag(cloud: Cloud):
    at_once(cloud, 7)


@pytest.mark.postgres
def test_fifty_at_once_at_the_limit_of_a_tag_on_postgresql(tmp_path: Path, postgres_url: str):
    with Cloud.start(tmp_path, database=postgres_url) as cloud:
        at_once(cloud, 7)


def total(cloud: Cloud, user: Person) -> tuple[int, int, int]:
    (account,) = cloud.list("listAccounts", id=user.account["id"])
    return account["vmtotal"], account["cputotal"], account["memorytotal"]


def test_only_running_machines_count_when_a_setting_says_so(cloud: Cloud):
    zone, user = tagged(cloud, simulated_zone(cloud)), cloud.user
    network = isolated_network(cloud, zone, "n1", **user.own)
    machine(cloud, zone, network, "m1", startvm=False, **user.own)
    made = deploy(cloud, zone, network, "m2", **user.own)
    assert total(cloud, user) == (2, 3, 768)
    setting(cloud, RUNNING_ONLY, "true")
    assert total(cloud, user) == (1, 2, 256)
    assert totals(cloud, "listDomains", level=0, tag="fast")["cpu", "fast"] == (-1, 2, -1)
    cloud.job("stopVirtualMachine", id=made["id"])
    assert total(cloud, user) == (0, 0, 0)
    (domain,) = cloud.list("listDomains", id=user.account["domainid"])
    assert (domain["vmtotal"], domain["volumetotal"]) == (0, 2)
    cloud.api("updateResourceLimit", resourcetype=0, max=1, **user.own)
    for n in range(3):
        machine(cloud, zone, network, f"off{n}", startvm=False, **user.own)
    cloud.job("startVirtualMachine", id=made["id"])
    error = refused(
        cloud, "deployVirtualMachine", zoneid=zone["zone"], templateid=zone["template"],
        serviceofferingid=zone["offering"], networkids=network, **user.own,
    )  # fmt: skip
    assert (error.code, "account user may have 1" in error.text) == (535, True)
    (waiting,) = cloud.list("listVirtualMachines", name="off0", listall=True)
    assert refused(cloud, "startVirtualMachine", id=waiting["id"]).code == 535
    assert cloud.list("listVirtualMachines", id=waiting["id"])[0]["state"] == "Stopped"
    setting(cloud, RUNNING_ONLY, "false")
    assert total(cloud, user)[0] == 5


def test_of_many_starts_at_once_as_many_succeed_as_may_run(cloud: Cloud):
    starts_at_once(cloud)


@pytest.mark.postgres
def test_of_many_starts_at_once_on_postgresql(tmp_path: Path, postgres_url: str):
    with Cloud.start(tmp_path, database=postgres_url, workers=4) as cloud:
        starts_at_once(cloud)


def starts_at_once(cloud: Cloud) -> None:
    zone, user = simulated_zone(cloud), cloud.user
    network = isolated_network(cloud, zone, "n1", **user.own)
    made = [machine(cloud, zone, network, f"m{n}", startvm=False, **user.own)["id"] for n in range(12)]
    setting(cloud, RUNNING_ONLY, "true")
    cloud.api("updateResourceLimit", resourcetype=8, max=5, domainid=user.account["domainid"])
    jobs = [cloud.api("startVirtualMachine", id=id_)["jobid"] for id_ in made]
    ended = []
    for job in jobs:
        try:
            cloud.wait("startVirtualMachine", job)
            ended.append(0)
        except Refused as error:
            ended.append(error.code)
    assert (ended.count(0), ended.count(535)) == (5, 7)
    assert total(cloud, user)[0] == 5
