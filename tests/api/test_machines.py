"""Machines through the API: their life, their refusals, and what is left when hosts fail."""

from __future__ import annotations

import base64
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pileus.compute import audit
from pileus.core.tables import setting
from pileus.drivers.simulator import state as hosts
from pileus.infrastructure.tables import host
from tests.support.cloud import Cloud, Person, Refused
from tests.support.zones import isolated_network, machine, simulated_zone


@pytest.fixture
def zone(cloud: Cloud) -> dict[str, str]:
    return simulated_zone(cloud, hosts=2)


def deploy(cloud: Cloud, zone: dict[str, str], caller: Person | None = None, **more: Any) -> dict[str, Any]:
    asked = {"zoneid": zone["zone"], "templateid": zone["template"], "serviceofferingid": zone["offering"]} | more
    return cloud.job("deployVirtualMachine", caller, **asked)


def refused(cloud: Cloud, zone: dict[str, str], caller: Person | None = None, **more: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        deploy(cloud, zone, caller, **more)
    return caught.value


def shown(cloud: Cloud, id_: str) -> dict[str, Any]:
    (found,) = cloud.list("listVirtualMachines", id=id_)
    return found


def on_hosts(cloud: Cloud) -> dict[str, str]:
    """Return the machines that hosts hold: name -> power."""
    with cloud.services.database.read() as db:
        ids = db.execute(sa.select(host.c.id)).scalars().all()
        return {m.name: m.power for id_ in ids for m in hosts.machines(db, id_)}


def volumes_there(cloud: Cloud) -> set[str]:
    with cloud.services.database.read() as db:
        return set(hosts.volumes(db))


def sound(cloud: Cloud) -> None:
    with cloud.services.database.read() as db:
        assert audit.findings(db) == []


def set_(cloud: Cloud, name: str, value: str) -> None:
    with cloud.services.database.write() as db:
        db.execute(sa.insert(setting).values(name=name, scope="global", scope_id=0, value=value))
    cloud.services.settings.reload()


def test_a_machine_from_deployment_to_its_end(cloud: Cloud, zone: dict[str, str]) -> None:
    made = deploy(cloud, zone, name="web1", displayname="Web one")
    assert (made["state"], made["name"], made["displayname"]) == ("Running", "web1", "Web one")
    assert (made["cpunumber"], made["cpuspeed"], made["memory"]) == (1, 500, 512)
    assert made["hypervisor"] == "Simulator"
    assert len(made["password"]) == 12
    (nic,) = made["nic"]
    assert nic["isdefault"] is True
    assert made["ipaddress"] == nic["ipaddress"]
    assert nic["ipaddress"].startswith("10.1.1.")
    assert on_hosts(cloud) == {made["instancename"]: "on"}
    assert "password" not in shown(cloud, made["id"])
    (volume,) = cloud.list("listVolumes", virtualmachineid=made["id"])
    assert (volume["type"], volume["state"], volume["vmname"]) == ("ROOT", "Ready", "web1")
    assert volumes_there(cloud) == {volume["id"]}
    sound(cloud)

    stopped = cloud.job("stopVirtualMachine", id=made["id"])
    assert stopped["state"] == "Stopped"
    assert "hostid" not in stopped
    assert on_hosts(cloud) == {made["instancename"]: "off"}
    sound(cloud)

    started = cloud.job("startVirtualMachine", id=made["id"])
    assert (started["state"], started["hostid"]) == ("Running", made["hostid"])
    assert started["nic"][0]["ipaddress"] == nic["ipaddress"]
    assert cloud.job("rebootVirtualMachine", id=made["id"])["state"] == "Running"

    destroyed = cloud.job("destroyVirtualMachine", id=made["id"])
    assert destroyed["state"] == "Destroyed"
    assert cloud.api("recoverVirtualMachine", id=made["id"])["virtualmachine"]["state"] == "Stopped"
    assert cloud.job("destroyVirtualMachine", id=made["id"], expunge=True)["state"] == "Expunging"
    assert cloud.list("listVirtualMachines") == []
    assert cloud.list("listVolumes") == []
    assert (on_hosts(cloud), volumes_there(cloud)) == ({}, set())
    sound(cloud)


def test_the_routers_know_name_password_and_metadata(cloud: Cloud, zone: dict[str, str]) -> None:
    data = base64.b64encode(b"#!/bin/sh\n").decode()
    made = deploy(cloud, zone, name="db1", userdata=data)
    with cloud.services.database.read() as db:
        (router,) = hosts.objects(db, "router").values()
    (guest,) = router["spec"]["hosts"]
    assert (guest["name"], guest["address"], guest["user_data"]) == ("db1", made["ipaddress"], data)
    assert guest["password"] == made["password"]
    facts = guest["metadata"]
    assert facts["local-ipv4"] == made["ipaddress"]
    assert facts["service-offering"] == "Small Instance"
    assert facts["availability-zone"] == "z1"
    assert facts["vm-id"] == made["id"]
    assert facts["local-hostname"].startswith("db1")
    assert facts["public-ipv4"].startswith("203.0.113.")
    renamed = cloud.api("updateVirtualMachine", id=made["id"], name="db2", displayname="second")["virtualmachine"]
    assert (renamed["name"], renamed["displayname"]) == ("db2", "second")


def test_a_machine_that_shall_not_start_has_no_place(cloud: Cloud, zone: dict[str, str]) -> None:
    made = deploy(cloud, zone, name="later", startvm=False)
    assert made["state"] == "Stopped"
    assert cloud.list("listVolumes", virtualmachineid=made["id"])[0]["state"] == "Allocated"
    assert volumes_there(cloud) == set()
    assert cloud.job("startVirtualMachine", id=made["id"])["state"] == "Running"
    assert cloud.list("listVolumes", virtualmachineid=made["id"])[0]["state"] == "Ready"
    sound(cloud)


def test_disks_of_all_kinds(cloud: Cloud, zone: dict[str, str]) -> None:
    offerings = {o["name"]: o["id"] for o in cloud.list("listDiskOfferings")}
    made = deploy(
        cloud,
        zone,
        name="disks",
        rootdisksize=20,
        diskofferingid=offerings["Custom"],
        size=7,
        datadiskofferinglist=[{"diskofferingid": offerings["Small"], "deviceid": 5}],
    )
    found = {
        v["deviceid"]: (v["type"], v["size"] >> 30) for v in cloud.list("listVolumes", virtualmachineid=made["id"])
    }
    assert found == {0: ("ROOT", 20), 1: ("DATADISK", 7), 5: ("DATADISK", 5)}
    assert cloud.list("listVirtualMachines", storageid=zone["pool"])[0]["id"] == made["id"]
    (small,) = [v for v in cloud.list("listVolumes", type="DATADISK") if v["deviceid"] == 5]
    cloud.job("destroyVirtualMachine", id=made["id"], expunge=True, volumeids=small["id"])
    (left,) = cloud.list("listVolumes")
    assert (left["state"], left["size"] >> 30) == ("Ready", 7)
    assert "virtualmachineid" not in left
    assert volumes_there(cloud) == {left["id"]}
    sound(cloud)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"name": "9lives"}, "parameter name must be a host name"),
        ({"name": "under_score"}, "parameter name must be a host name"),
        ({"userdata": "not base64!"}, "parameter userdata must be base64"),
        ({"rootdisksize": 1}, "smaller than template"),
        ({"size": 5}, "parameter diskofferingid is missing"),
        ({"hypervisor": "KVM"}, "is for Simulator"),
        ({"details": {"cpuNumber": "2"}}, "sets cpuNumber itself"),
        ({"macaddress": "01:00:00:00:00:01"}, "macaddress"),
        ({"keypair": "mine"}, "keypair"),
        ({"password": "short"}, "at least 6 characters"),
    ],
)
def test_what_cannot_be_is_refused_by_name(cloud: Cloud, zone: dict[str, str], asked: Any, text: str) -> None:
    error = refused(cloud, zone, **asked)
    assert error.code == 431
    assert text in error.text
    assert cloud.list("listVirtualMachines") == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ip", "10.1.1.1"),
        ("ip", "192.0.2.7"),
        ("ip", "name"),
        ("mac", "01:00:00:00:00:01"),
        ("mac", "00:00:00:00:00:00"),
    ],
)
def test_refused_addresses_are_of_the_parameter_that_named_them(
    cloud: Cloud, zone: dict[str, str], key: str, value: str
) -> None:
    id_ = isolated_network(cloud, zone, "chosen")
    entry: dict[str, Any] = {"iptonetworklist[0].networkid": id_, f"iptonetworklist[0].{key}": value}
    single: dict[str, Any] = {"networkids": id_, f"{key}address": value}
    listed, plain = refused(cloud, zone, **entry), refused(cloud, zone, **single)
    assert (listed.code, plain.code) == (431, 431)
    assert listed.text.startswith("parameter iptonetworklist")
    assert plain.text.startswith(f"parameter {key}address")
    assert cloud.list("listVirtualMachines") == []


def test_a_name_is_there_once_in_a_network(cloud: Cloud, zone: dict[str, str]) -> None:
    first = deploy(cloud, zone, name="twin", startvm=False)
    assert "has a machine named 'Twin' already" in refused(cloud, zone, name="Twin").text
    other = deploy(cloud, zone, name="other", startvm=False)
    with pytest.raises(Refused, match="named 'twin' already"):
        cloud.api("updateVirtualMachine", id=other["id"], name="twin")
    cloud.job("destroyVirtualMachine", id=first["id"], expunge=True)
    assert cloud.api("updateVirtualMachine", id=other["id"], name="twin")["virtualmachine"]["name"] == "twin"


def test_sizes_chosen_at_deployment(cloud: Cloud, zone: dict[str, str]) -> None:
    custom = cloud.api(
        "createServiceOffering", name="any", displaytext="any", mincpunumber=1, maxcpunumber=4, minmemory=256,
        maxmemory=4096, cpuspeed=1000,
    )["serviceoffering"]["id"]  # fmt: skip
    missing = refused(cloud, zone, serviceofferingid=custom, details={"cpuNumber": "2"})
    assert "details[0].memory is needed" in missing.text
    outside = refused(cloud, zone, serviceofferingid=custom, details={"cpuNumber": "5", "memory": "512"})
    assert "between 1 and 4" in outside.text
    made = deploy(cloud, zone, serviceofferingid=custom, details={"cpuNumber": "2", "memory": "512", "colour": "red"})
    assert (made["cpunumber"], made["cpuspeed"], made["memory"]) == (2, 1000, 512)
    assert made["details"] == {"colour": "red"}


def test_places_that_admins_ask_for(cloud: Cloud, zone: dict[str, str]) -> None:
    second = cloud.list("listHosts")[1]["id"]
    assert deploy(cloud, zone, hostid=second)["hostid"] == second
    denied = refused(cloud, zone, cloud.user, hostid=second)
    assert denied.code == 531
    assert cloud.list("listVirtualMachines", hostid=second, details="min")[0]["state"] == "Running"


def test_a_failing_host_is_avoided_and_nothing_stays_there(cloud: Cloud, zone: dict[str, str]) -> None:
    bad = 1
    cloud.config.fail("machine.start", host=bad, code="no-memory", retryable=True)
    made = deploy(cloud, zone, name="lucky")
    assert made["hostname"].endswith("h1")
    assert list(on_hosts(cloud).values()) == ["on"]
    assert len(volumes_there(cloud)) == 1
    sound(cloud)


def test_a_deployment_that_fails_leaves_an_error_and_nothing_else(cloud: Cloud, zone: dict[str, str]) -> None:
    cloud.config.fail("machine.start", code="broken", message="The hypervisor is broken")
    error = refused(cloud, zone, name="unlucky")
    assert (error.code, "hypervisor is broken" in error.text) == (530, True)
    (left,) = cloud.list("listVirtualMachines")
    assert (left["state"], left["name"]) == ("Error", "unlucky")
    assert (on_hosts(cloud), volumes_there(cloud)) == ({}, set())
    sound(cloud)
    cloud.config.clear()
    cloud.job("destroyVirtualMachine", id=left["id"])
    assert cloud.list("listVirtualMachines") == []
    sound(cloud)


def test_a_start_that_fails_leaves_the_machine_stopped(cloud: Cloud, zone: dict[str, str]) -> None:
    made = deploy(cloud, zone)
    cloud.job("stopVirtualMachine", id=made["id"])
    cloud.config.fail("machine.start", code="broken")
    with pytest.raises(Refused):
        cloud.job("startVirtualMachine", id=made["id"])
    assert shown(cloud, made["id"])["state"] == "Stopped"
    assert len(volumes_there(cloud)) == 1
    sound(cloud)


def test_a_stop_that_fails_leaves_it_running_and_forced_stops_without_its_host(
    cloud: Cloud, zone: dict[str, str]
) -> None:
    made = deploy(cloud, zone)
    fault = cloud.config.fail("machine.stop", code="stuck")
    with pytest.raises(Refused):
        cloud.job("stopVirtualMachine", id=made["id"])
    assert shown(cloud, made["id"])["state"] == "Running"
    cloud.config.remove(fault)
    with cloud.services.database.write() as db:
        db.execute(sa.update(host).values(state="Down"))
    with pytest.raises(Refused, match="forced=true"):
        cloud.job("stopVirtualMachine", id=made["id"])
    assert cloud.job("stopVirtualMachine", id=made["id"], forced=True)["state"] == "Stopped"
    sound(cloud)


def test_fifty_at_once_into_room_for_thirty(cloud: Cloud, zone: dict[str, str]) -> None:
    with cloud.services.database.write() as db:
        db.execute(sa.update(host).values(memory_mib=15 * 512))
    deploy(cloud, zone, startvm=False)  # so that the network is there
    asked = {"zoneid": zone["zone"], "templateid": zone["template"], "serviceofferingid": zone["offering"]}
    jobs = [cloud.api("deployVirtualMachine", **asked)["jobid"] for _ in range(50)]
    errors: list[Refused] = []
    for job in jobs:
        try:
            cloud.wait("deployVirtualMachine", job)
        except Refused as error:
            errors.append(error)
    assert len(errors) == 20
    assert {error.code for error in errors} == {533}
    assert {error.text for error in errors} == {"Unable to find a place for the machine: of 2 hosts: 2 lack RAM"}
    assert len(cloud.list("listVirtualMachines", state="Running")) == 30
    assert len(cloud.list("listVirtualMachines", state="Error")) == 20
    assert list(on_hosts(cloud).values()) == ["on"] * 30
    sound(cloud)


@pytest.mark.postgres
def test_fifty_at_once_on_postgresql_by_ten_clients(tmp_path: Path, postgres_url: str) -> None:
    with Cloud.start(tmp_path, database=postgres_url, workers=4) as cloud:
        ids = simulated_zone(cloud, hosts=1)
        with cloud.services.database.write() as db:
            db.execute(sa.update(host).values(memory_mib=30 * 512))
        network = isolated_network(cloud, ids, "n1")

        def outcome(number: int) -> str:
            try:
                return machine(cloud, ids, network, f"m{number}")["state"]
            except Refused as refusal:
                return f"{refusal.code} {refusal.text}"

        with ThreadPoolExecutor(10) as pool:
            answers = Counter(pool.map(outcome, range(50)))
        assert answers == {"Running": 30, "533 Unable to find a place for the machine: of 1 host: 1 lacks RAM": 20}
        sound(cloud)


def test_users_hear_a_plain_sentence_when_there_is_no_room(cloud: Cloud, zone: dict[str, str]) -> None:
    with cloud.services.database.write() as db:
        db.execute(sa.update(host).values(memory_mib=100))
    error = refused(cloud, zone, cloud.user)
    assert error.code == 533
    assert error.text == "There is no room for this machine at the moment; try a smaller one, or try again later"


def test_states_are_checked(cloud: Cloud, zone: dict[str, str]) -> None:
    made = deploy(cloud, zone)
    for command in ("startVirtualMachine", "expungeVirtualMachine", "recoverVirtualMachine"):
        with pytest.raises(Refused) as caught:
            cloud.api(command, id=made["id"])
        assert caught.value.code == 431
    cloud.job("destroyVirtualMachine", id=made["id"])
    with pytest.raises(Refused, match="is Destroyed"):
        cloud.api("startVirtualMachine", id=made["id"])
    assert cloud.job("expungeVirtualMachine", id=made["id"]) == {"success": True}


def test_a_destroyed_machine_is_destroyed_again_without_a_word(cloud: Cloud, zone: dict[str, str]) -> None:
    made = deploy(cloud, zone)
    first = cloud.job("destroyVirtualMachine", id=made["id"])
    again = cloud.job("destroyVirtualMachine", id=made["id"])
    assert (first["state"], again["state"], again["id"]) == ("Destroyed", "Destroyed", made["id"])
    sound(cloud)
    assert cloud.api("recoverVirtualMachine", id=made["id"])["virtualmachine"]["state"] == "Stopped"
    sound(cloud)


def test_what_users_may_and_see(cloud: Cloud, zone: dict[str, str]) -> None:
    made = deploy(cloud, zone, cloud.user, name="mine")
    assert not {"hostid", "hostname", "instancename", "displayvm"} & set(made)
    assert cloud.list("listVirtualMachines", cloud.other) == []
    assert cloud.list("listVirtualMachines", cloud.stranger, listall=True) == []
    assert [m["id"] for m in cloud.list("listVirtualMachines", cloud.domain_admin, listall=True)] == [made["id"]]
    assert cloud.list("listVirtualMachines") == []
    assert len(cloud.list("listVirtualMachines", listall=True)) == 1
    for caller in (cloud.other, cloud.stranger, cloud.foreign_admin):
        with pytest.raises(Refused) as caught:
            cloud.api("stopVirtualMachine", caller, id=made["id"])
        assert caught.value.code == 531
    with pytest.raises(Refused) as caught:
        cloud.api("destroyVirtualMachine", cloud.user, id=made["id"], expunge=True)
    assert caught.value.code == 531
    cloud.job("destroyVirtualMachine", cloud.user, id=made["id"])
    assert cloud.list("listVirtualMachines", cloud.user) == []
    with pytest.raises(Refused):
        cloud.api("recoverVirtualMachine", cloud.user, id=made["id"])
    set_(cloud, "allow.user.view.destroyed.vm", "true")
    set_(cloud, "allow.user.expunge.recover.vm", "true")
    assert cloud.list("listVirtualMachines", cloud.user)[0]["state"] == "Destroyed"
    assert cloud.api("recoverVirtualMachine", cloud.user, id=made["id"])["virtualmachine"]["state"] == "Stopped"


def test_domain_admins_delete_machines_of_their_domain_for_good(cloud: Cloud, zone: dict[str, str]) -> None:
    """As in CloudStack, where expunge is for admins of any kind; Cluster API's provider passes it always."""
    first, second = (deploy(cloud, zone, cloud.user, name=name, startvm=False) for name in ("m1", "m2"))
    cloud.job("destroyVirtualMachine", cloud.domain_admin, id=first["id"], expunge=True)
    cloud.job("destroyVirtualMachine", cloud.user, id=second["id"])
    assert cloud.list("listVirtualMachines", cloud.user) == []
    assert cloud.list("listVirtualMachines", cloud.domain_admin, listall=True)[0]["state"] == "Destroyed"
    recovered = cloud.api("recoverVirtualMachine", cloud.domain_admin, id=second["id"])["virtualmachine"]
    assert recovered["state"] == "Stopped"
    with pytest.raises(Refused) as caught:
        cloud.api("destroyVirtualMachine", cloud.foreign_admin, id=second["id"], expunge=True)
    assert caught.value.code == 531
    assert [one["id"] for one in cloud.list("listVirtualMachines", listall=True)] == [second["id"]]


def test_admins_deploy_for_others_but_not_into_their_own_network(cloud: Cloud, zone: dict[str, str]) -> None:
    own = deploy(cloud, zone, startvm=False)["nic"][0]["networkid"]
    made = deploy(cloud, zone, **cloud.user.own)
    assert made["account"] == cloud.user.account["name"]
    error = refused(cloud, zone, networkids=own, **cloud.user.own)
    assert error.code == 531


def test_lists_filter_and_page(cloud: Cloud, zone: dict[str, str]) -> None:
    for number in range(5):
        deploy(cloud, zone, name=f"n{number}", startvm=False, group="even" if number % 2 == 0 else "odd")
    answer = cloud.api("listVirtualMachines", page=2, pagesize=2)
    assert answer["count"] == 5
    assert [m["name"] for m in answer["virtualmachine"]] == ["n2", "n3"]
    assert [m["name"] for m in cloud.list("listVirtualMachines", keyword="N4")] == ["n4"]
    assert [m["name"] for m in cloud.list("listVirtualMachines", name="n1")] == ["n1"]
    ids = ",".join(m["id"] for m in cloud.list("listVirtualMachines")[:2])
    assert len(cloud.list("listVirtualMachines", ids=ids)) == 2
    assert len(cloud.list("listVirtualMachines", state="Present")) == 5
    assert cloud.list("listVirtualMachines", state="Running") == []
    least = cloud.list("listVirtualMachines", details="min")[0]
    assert not {"nic", "templateid", "securitygroup"} & set(least)
    with pytest.raises(Refused, match="details"):
        cloud.api("listVirtualMachines", details="colour")
    with pytest.raises(Refused, match="state"):
        cloud.api("listVirtualMachines", state="Happy")


def test_destroyed_machines_are_expunged_in_the_end(cloud: Cloud, zone: dict[str, str]) -> None:
    from pileus.compute import expunging

    made = deploy(cloud, zone)
    cloud.job("destroyVirtualMachine", id=made["id"])
    expunging.expunge_overdue(cloud.services)
    assert shown(cloud, made["id"])["state"] == "Destroyed"
    set_(cloud, "expunge.delay", "0")
    expunging.expunge_overdue(cloud.services)
    for _ in range(200):
        if cloud.list("listVirtualMachines") == []:
            break
        cloud.list("listZones")
    assert cloud.list("listVirtualMachines") == []
    sound(cloud)


def test_an_account_goes_with_its_machines(cloud: Cloud, zone: dict[str, str]) -> None:
    user = cloud.user
    offerings = {o["name"]: o["id"] for o in cloud.list("listDiskOfferings")}
    deploy(cloud, zone, user, diskofferingid=offerings["Small"])
    deploy(cloud, zone, user, startvm=False)
    cloud.job("deleteAccount", id=user.account["id"])
    assert cloud.list("listVirtualMachines", listall=True) == []
    assert (on_hosts(cloud), volumes_there(cloud)) == ({}, set())
    sound(cloud)
