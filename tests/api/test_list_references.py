"""Lists that are filtered by what refers to something else: hosts for a machine, jobs and hosts of a server."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from pileus.core.jobs.tables import job
from pileus.core.jobs.tables import server as server_table
from tests.support.cloud import Cloud, Person, Refused
from tests.support.zones import isolated_network, machine, simulated_zone


def refused(cloud: Cloud, command: str, caller: Person | None = None, **parameters: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        cloud.api(command, caller, **parameters)
    return caught.value


def names(cloud: Cloud, machine_id: str, **more: Any) -> dict[str, tuple[bool, bool]]:
    found = cloud.list("listHosts", virtualmachineid=machine_id, **more)
    return {each["name"]: (each["suitableformigration"], each["hasenoughcapacity"]) for each in found}


def test_hosts_for_a_machine_say_whether_it_fits_there(cloud: Cloud):
    zone = simulated_zone(cloud, hosts=4)
    other = cloud.api(
        "addCluster", zoneid=zone["zone"], podid=zone["pod"], clustername="c2", clustertype="CloudManaged",
        hypervisor="Simulator",
    )["cluster"][0]["id"]  # fmt: skip
    cloud.api(
        "addHost", zoneid=zone["zone"], podid=zone["pod"], clusterid=other, hypervisor="Simulator",
        url="http://sim/z1/elsewhere",
    )  # fmt: skip
    vm = machine(cloud, zone, isolated_network(cloud, zone, "n1"), "m1")
    hosts = {each["name"]: each for each in cloud.list("listHosts", clusterid=zone["cluster"])}
    own = next(name for name, each in hosts.items() if each["id"] == vm["hostid"])
    free, full, shut = sorted(set(hosts) - {own})
    assert names(cloud, vm["id"]) == {
        free: (True, True),
        full: (True, True),
        shut: (True, True),
    }  # not the other cluster
    with cloud.services.database.write() as db:
        db.exec_driver_sql(f"UPDATE host SET used_memory_mib = memory_mib WHERE name = '{full}'")
    cloud.api("updateHost", id=hosts[shut]["id"], allocationstate="Disable")
    assert names(cloud, vm["id"]) == {free: (True, True), full: (False, False), shut: (False, True)}
    assert set(names(cloud, vm["id"], name=free)) == {free}
    assert {each["name"] for each in cloud.list("listHostsMetrics", virtualmachineid=vm["id"])} == {free, full, shut}
    assert "suitableformigration" not in cloud.list("listHosts")[0]
    with cloud.services.database.write() as db:
        db.exec_driver_sql(f"UPDATE host SET used_memory_mib = 0 WHERE name = '{full}'")
    cloud.job("stopVirtualMachine", id=vm["id"])
    everywhere = names(cloud, vm["id"])  # off, it may start anywhere in its zone
    assert len(everywhere) == 5
    assert (everywhere[own], everywhere[shut]) == ((True, True), (False, True))
    assert refused(cloud, "listHosts", virtualmachineid=zone["zone"]).code == 431
    assert refused(cloud, "listHosts", cloud.user, virtualmachineid=vm["id"]).code in (401, 432)


def test_jobs_of_a_management_server_are_those_it_runs(cloud: Cloud):
    zone = simulated_zone(cloud, hosts=1)
    vm = machine(cloud, zone, isolated_network(cloud, zone, "n1"), "m1")
    (server,) = cloud.list("listManagementServers")
    assert cloud.list("listAsyncJobs", listall=True)
    assert cloud.list("listAsyncJobs", listall=True, managementserverid=server["id"]) == []  # all have ended
    running = cloud.api("stopVirtualMachine", id=vm["id"])["jobid"]
    cloud.wait("stopVirtualMachine", running)
    with cloud.services.database.write() as db:  # as it stands while a server is at work on it
        process = db.execute(sa.select(server_table.c.uuid)).scalar_one()
        db.execute(sa.update(job).where(job.c.uuid == running).values(owner=process))
    found = cloud.list("listAsyncJobs", listall=True, managementserverid=server["id"])
    assert [each["jobid"] for each in found] == [running]
    assert refused(cloud, "listAsyncJobs", cloud.user, managementserverid=server["id"]).code == 531
    assert refused(cloud, "listAsyncJobs", managementserverid="none").code == 431
