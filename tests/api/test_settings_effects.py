"""Settings that no other test shows: what is other once they are changed (``proofs`` names the test of each)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pileus.compute import lease_ends
from pileus.core import alerts, database, housekeeping
from pileus.core.jobs import retention
from pileus.core.jobs.tables import job, server
from pileus.core.tables import alert, event
from pileus.identity import rates
from pileus.identity.limits.types import KINDS, Facts, Kind
from pileus.resources import watching
from tests.api.test_offering_effects import at_host
from tests.api.test_templates import directory_zone
from tests.support.cloud import Cloud, Person, Refused
from tests.support.waiting import until
from tests.support.zones import isolated_network, machine, simulated_zone


def put(cloud: Cloud, name: str, value: Any, **scope: Any) -> None:
    cloud.api("updateConfiguration", name=name, value=value, **scope)


def refused(cloud: Cloud, command: str, caller: Person | None = None, **parameters: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        cloud.job(command, caller, **parameters)
    return caught.value


def test_destroyed_machines_are_looked_for_as_often_as_the_setting_says(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    made = machine(cloud, zone, isolated_network(cloud, zone, "n1"), "m1")
    put(cloud, "expunge.delay", "0")
    cloud.job("destroyVirtualMachine", id=made["id"])
    time.sleep(2.5)
    assert cloud.list("listVirtualMachines")[0]["state"] == "Destroyed"  # by default it is looked once a day
    put(cloud, "expunge.interval", "1")
    until(lambda: cloud.list("listVirtualMachines") == [], 15)


def test_so_many_hosts_are_tried(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=3)
    network = isolated_network(cloud, zone, "n1")
    for tries in (2, 3):
        put(cloud, "vm.deploy.tries", tries)
        fault = cloud.config.fail("machine.start", code="no-memory", message="no memory", retryable=True, times=tries)
        with pytest.raises(Refused, match="no memory"):
            machine(cloud, zone, network, f"fails{tries}")
        cloud.config.remove(fault)
    put(cloud, "vm.deploy.tries", 3)
    cloud.config.fail("machine.start", code="no-memory", message="no memory", retryable=True, times=2)
    assert machine(cloud, zone, network, "lucky")["state"] == "Running"  # the third host takes it


def test_a_template_may_be_as_large_as_the_setting_says(cloud: Cloud, tmp_path: Path) -> None:
    zone = directory_zone(cloud, tmp_path)
    image = cloud.options.home / "builtin" / "large.raw"
    image.parent.mkdir(exist_ok=True)
    ordered = {
        "displaytext": "x", "format": "RAW", "hypervisor": "Simulator", "zoneid": zone["zone"], "url": f"file://{image}",
    }  # fmt: skip
    put(cloud, "max.template.iso.size", 1)
    for name, size in (("large", (1 << 30) + 512), ("small", 1 << 20)):
        with image.open("wb") as file:
            file.truncate(size)
        (made,) = cloud.api("registerTemplate", name=name, **ordered)["template"]

        def ended(id_: str = made["id"], fits: bool = name == "small") -> bool:
            (shown,) = cloud.list("listTemplates", templatefilter="self", id=id_)
            return shown["isready"] if fits else "larger than" in (shown.get("status") or "")

        until(ended, 60, name)


WATCHED = [*watching.BY_CLUSTER.values(), *watching.BY_ZONE.values()]
THRESHOLDS = (
    "cluster.memory.allocated.capacity.notificationthreshold",
    "cluster.cpu.allocated.capacity.notificationthreshold",
    "cluster.storage.capacity.notificationthreshold",
    "cluster.storage.allocated.capacity.notificationthreshold",
    "cluster.localStorage.capacity.notificationthreshold",
    "zone.virtualnetwork.publicip.capacity.notificationthreshold",
    "zone.vlan.capacity.notificationthreshold",
    "zone.secstorage.capacity.notificationthreshold",
)


def test_each_threshold_raises_its_own_alert(cloud: Cloud, tmp_path: Path) -> None:
    zone = simulated_zone(cloud, hosts=1)
    cloud.api("addImageStore", name="files", provider="directory", zoneid=zone["zone"], url=f"file://{tmp_path}/store")
    for name in ("shared", "own"):
        cloud.api(
            "createStoragePool", zoneid=zone["zone"], podid=zone["pod"], clusterid=zone["cluster"], name=name,
            url=f"nfs://nas/{name}", scope="cluster", hypervisor="Simulator",
        )  # fmt: skip
    machine(cloud, zone, isolated_network(cloud, zone, "n1"), "m1")
    with cloud.services.database.write() as db:
        db.execute(sa.text("UPDATE storage_pool SET used = capacity / 2, allocated = capacity / 2"))
        db.execute(sa.text("UPDATE storage_pool SET scope = 'HOST', host_id = 1 WHERE name = 'own'"))
    assert {setting.name for setting, _ in WATCHED} == set(THRESHOLDS)
    for name in THRESHOLDS:
        put(cloud, name, "1")
    for setting, type_ in WATCHED:
        put(cloud, setting.name, "0")
        cloud.services.plugins["resources.capacity.checked"] = -1e9
        watching.check_capacity(cloud.services)
        put(cloud, setting.name, "1")
        (found,) = cloud.list("listAlerts")
        assert found["type"] == alerts.TYPES[type_], setting.name
        cloud.api("deleteAlerts", ids=found["id"])


def test_domain_admins_tag_offerings_when_a_setting_lets_them(cloud: Cloud) -> None:
    chief, name = cloud.domain_admin, "allow.domain.admins.to.create.tagged.offerings"
    own = chief.account["domainid"]
    plain = {"domainid": own, "displaytext": "x"}
    size = {"cpunumber": 1, "cpuspeed": 500, "memory": 256}
    orders: tuple[tuple[str, dict[str, Any]], ...] = (
        ("createServiceOffering", {"name": "s", "hosttags": "fast", **size}),
        ("createServiceOffering", {"name": "s", "tags": "ssd", **size}),
        ("createDiskOffering", {"name": "d", "tags": "ssd", "disksize": 1}),
    )
    for command, order in orders:
        assert refused(cloud, command, chief, **order, **plain).code == 531
    assert cloud.api("isAccountAllowedToCreateOfferingsWithTags", id=chief.account["id"])["isallowed"] == {
        "isallowed": False
    }
    made = cloud.api("createDiskOffering", chief, name="plain", disksize=1, **plain)["diskoffering"]
    assert refused(cloud, "updateDiskOffering", chief, id=made["id"], tags="ssd").code == 531
    put(cloud, name, "true", domainid=own)
    for command, order in orders:
        assert cloud.api(command, chief, **order, **plain)
    assert cloud.api("updateDiskOffering", chief, id=made["id"], tags="ssd")
    foreign = cloud.foreign_admin
    mine = {"domainid": foreign.account["domainid"], "displaytext": "x"}
    assert refused(cloud, "createDiskOffering", foreign, name="d", tags="ssd", disksize=1, **mine).code == 531


def test_a_server_remembers_the_calls_of_so_many_accounts(cloud: Cloud) -> None:
    people = [cloud.user, cloud.other, cloud.stranger]
    for name, value in (("interval", 1), ("cachesize", 2), ("enabled", "true")):
        put(cloud, f"api.throttling.{name}", value)
    for person in people[:2]:
        cloud.list("listZones", person)
    time.sleep(1.1)
    assert rates.counter(cloud.services).remembered == 2
    cloud.list("listZones", people[2])  # there is room for two: those whose interval is over are forgotten
    assert rates.counter(cloud.services).remembered == 1


@pytest.mark.parametrize("kind", KINDS)
def test_default_limits_hold(cloud: Cloud, kind: Kind) -> None:
    facts: Facts = KINDS[kind]
    user = cloud.user
    project = cloud.job("createProject", user, name="p", displaytext="p")["id"]
    whose = {
        facts.account.name: user.own,
        facts.domain.name: {"domainid": user.account["domainid"]},
        **({facts.project.name: {"projectid": project}} if facts.project else {}),
    }
    for number, (name, of) in enumerate(whose.items(), 3):
        put(cloud, name, number)
        (shown,) = cloud.list("listResourceLimits", resourcetype=int(kind), **of)
        assert shown["max"] == number
        cloud.api("updateResourceLimit", resourcetype=int(kind), max=2, **of)
        (shown,) = cloud.list("listResourceLimits", resourcetype=int(kind), **of)
        assert shown["max"] == 2  # what was set for it comes first


def test_a_default_limit_stops_what_is_over_it(cloud: Cloud) -> None:
    zone, user = simulated_zone(cloud, hosts=1), cloud.user
    project = cloud.job("createProject", user, name="p", displaytext="p")["id"]
    order = {"zoneid": zone["zone"], "networkofferingid": zone["networkoffering"], "name": "n", "displaytext": "n"}
    for name, of in (
        ("max.account.networks", user.own),
        ("max.domain.networks", user.own),
        ("max.project.networks", {"projectid": project}),
    ):
        put(cloud, name, 0)
        assert refused(cloud, "createNetwork", **order, **of).code == 535
        cloud.api("resetConfiguration", name=name)
        assert cloud.api("createNetwork", **order, **of)


def test_pages_are_as_large_as_the_setting_says(cloud: Cloud) -> None:
    for n in range(4):
        cloud.api("createDomain", name=f"d{n}")
    put(cloud, "default.page.size", "3")
    answer = cloud.api("listDomains", listall=True)
    assert (len(answer["domain"]), answer["count"]) == (3, 5)
    assert len(cloud.list("listDomains", listall=True, page=2, pagesize=3)) == 2
    error = refused(cloud, "listDomains", page=1, pagesize=4)
    assert (error.code, "between 1 and 3" in error.text) == (431, True)
    assert len(cloud.list("listDomains", listall=True, page=1, pagesize=-1)) == 5
    put(cloud, "default.page.size", "600")
    assert len(cloud.list("listDomains", listall=True, page=1, pagesize=600)) == 5


@pytest.mark.parametrize("table", [event, alert])
def test_old_records_are_deleted_when_operators_want_it(cloud: Cloud, table: sa.Table) -> None:
    moment = table.c.created if table is event else table.c.last
    begin, purge = (
        ("event.purge", housekeeping.purge_events) if table is event else ("alert.purge", housekeeping.purge_alerts)
    )
    for n in range(3):
        cloud.job("generateAlert", type=1, name=f"x{n}", description="y")

    def age(days: int) -> int:
        with cloud.services.database.write() as db:
            first = db.execute(sa.select(table.c.id).order_by(table.c.id).limit(1)).scalar_one()
            db.execute(sa.update(table).where(table.c.id == first).values({moment: database.now() - 86_400 * days}))
            return first

    def there(id_: int) -> bool:
        with cloud.services.database.read() as db:
            return db.execute(sa.select(table.c.id).where(table.c.id == id_)).scalar() is not None

    old = age(20)
    put(cloud, f"{begin}.delay", "30")
    purge(cloud.services)
    assert there(old)
    put(cloud, f"{begin}.delay", "0")
    purge(cloud.services)
    assert there(old)  # never
    put(cloud, f"{begin}.interval", "1")
    put(cloud, f"{begin}.delay", "10")
    until(lambda: not there(old), 15)  # by itself
    with cloud.services.database.read() as db:
        assert db.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() >= 2


def test_jobs_are_kept_and_may_take_as_long_as_the_settings_say(cloud: Cloud) -> None:
    first = cloud.api("generateAlert", type=1, name="x", description="y")["jobid"]
    cloud.wait("generateAlert", first)
    put(cloud, "job.cancel.threshold.minutes", "5")
    second = cloud.api("generateAlert", type=1, name="x", description="y")["jobid"]
    cloud.wait("generateAlert", second)
    with cloud.services.database.read() as db:
        found = db.execute(sa.select(job).where(job.c.uuid.in_([first, second])).order_by(job.c.id)).all()
    assert [round((row.deadline - row.created) / 60) for row in found] == [60, 5]
    with cloud.services.database.write() as db:
        db.execute(sa.update(job).where(job.c.uuid == first).values(completed=database.now() - 3600))
    retention.sweep(cloud.services.database, cloud.engine.kept())
    assert cloud.api("queryAsyncJobResult", jobid=first)["jobstatus"] == 1
    put(cloud, "job.expire.minutes", "50")
    retention.sweep(cloud.services.database, cloud.engine.kept())
    assert refused(cloud, "queryAsyncJobResult", jobid=first).code == 431
    assert cloud.api("queryAsyncJobResult", jobid=second)["jobstatus"] == 1


BURSTS = {
    "vm.disk.bytes.maximum.read.length": "bytesreadrate",
    "vm.disk.bytes.maximum.write.length": "byteswriterate",
    "vm.disk.iops.maximum.read.length": "iopsreadrate",
    "vm.disk.iops.maximum.write.length": "iopswriterate",
}
RATES = {
    "vm.disk.throttling.bytes_read_rate": "read_bytes_sec",
    "vm.disk.throttling.bytes_write_rate": "write_bytes_sec",
    "vm.disk.throttling.iops_read_rate": "read_iops_sec",
    "vm.disk.throttling.iops_write_rate": "write_iops_sec",
}


def test_bursts_of_disks_are_as_long_as_the_settings_let_them(cloud: Cloud) -> None:
    for name, limit in BURSTS.items():
        burst = {limit: 5, f"{limit}max": 6, f"{limit}maxlength": 11}
        put(cloud, name, 10)
        assert refused(cloud, "createDiskOffering", name="x", displaytext="x", disksize=1, **burst).code == 431
        put(cloud, name, 11)
        assert cloud.api("createDiskOffering", name=limit, displaytext="x", disksize=1, **burst)


def test_disks_are_as_fast_as_the_settings_let_them(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    for number, name in enumerate(RATES, 100):
        put(cloud, name, number)
    made = machine(cloud, zone, isolated_network(cloud, zone, "n1"), "m1")
    assert at_host(cloud, made)[0]["throttle"] == {key: number for number, key in enumerate(RATES.values(), 100)}


def test_the_end_of_a_lease_is_told_so_many_days_before(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    put(cloud, "instance.lease.enabled", "true")
    network = isolated_network(cloud, zone, "n1")
    machine(cloud, zone, network, "m1", leaseduration=5, leaseexpiryaction="stop")

    def told() -> int:
        lease_ends.warn(cloud.services)
        return len(cloud.list("listEvents", type="VM.LEASE.EXPIRING", listall=True))

    put(cloud, "instance.lease.expiryevent.daysbefore", 3)
    assert told() == 0
    put(cloud, "instance.lease.expiryevent.daysbefore", 0)
    assert told() == 0
    put(cloud, "instance.lease.expiryevent.daysbefore", 6)
    assert told() == 1


def test_maintenance_of_a_server_waits_for_its_jobs_as_long_as_the_setting_says(cloud: Cloud) -> None:
    moment = database.now()
    with cloud.services.database.write() as db:
        db.execute(server.insert().values(uuid="b:1", name="b", started=moment, heartbeat=moment + 60))
    put(cloud, "management.server.maintenance.timeout", 7)
    assert cloud.api("prepareForMaintenance", managementserverid="b")
    with cloud.services.database.read() as db:
        ends = db.execute(sa.select(server.c.drained_by).where(server.c.name == "b")).scalar_one()
    assert 400 < ends - moment < 440
