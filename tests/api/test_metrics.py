"""Lists with numbers: they are those of what really runs, and cost a constant number of statements."""

from __future__ import annotations

import sqlite3

import sqlalchemy as sa
from sqlalchemy import event as sa_event

from pileus.infrastructure.tables import host
from tests.support.cloud import Cloud
from tests.support.zones import isolated_network, machine, simulated_zone


def test_numbers_follow_what_runs(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=2)
    network = isolated_network(cloud, zone, "n1")
    vm = machine(cloud, zone, network, "vm1")  # 500 MHz, 512 MiB
    cloud.job("stopVirtualMachine", id=machine(cloud, zone, network, "vm2")["id"])
    at = cloud.list("listVirtualMachines", id=vm["id"])[0]["hostid"]
    with cloud.services.database.write() as db:
        db.execute(sa.update(host).where(host.c.uuid == at).values(really_used_memory_mib=1024 * 1024))

    (of_host,) = cloud.list("listHostsMetrics", id=at)
    assert (of_host["cputotalghz"], of_host["cpuallocatedghz"]) == ("320.00 GHz", "0.50 GHz")
    assert (of_host["memorytotalgb"], of_host["memoryallocatedgb"]) == ("2048.00 GB", "0.50 GB")
    assert (of_host["memoryusedgb"], of_host["memorythreshold"]) == ("1024.00 GB", False)
    assert of_host["instances"] == "1 / 1"
    assert sum(int(h["systeminstances"].split(" / ")[0]) for h in cloud.list("listHostsMetrics")) == 1

    (of_cluster,) = cloud.list("listClustersMetrics", id=zone["cluster"])
    assert (of_cluster["hosts"], of_cluster["state"], of_cluster["cputotal"]) == ("2 / 2", "Enabled", "640.00 GHz")
    assert (of_cluster["cpuallocated"], of_cluster["memoryused"]) == ("0.08%", "25.00%")
    (of_zone,) = cloud.list("listZonesMetrics", id=zone["zone"])
    assert (of_zone["clusters"], of_zone["state"], of_zone["memorytotal"]) == ("1 / 1", "Enabled", "4096.00 GB")
    (of_pool,) = cloud.list("listStoragePoolsMetrics", id=zone["pool"])
    assert of_pool["disksizeallocatedgb"] == f"{of_pool['disksizeallocated'] / 1024**3:.2f} GB"
    assert not of_pool["storageallocatedthreshold"]
    (of_machine,) = cloud.list("listVirtualMachinesMetrics", id=vm["id"])
    assert (of_machine["cputotal"], of_machine["memorytotal"]) == ("0.50 GHz", "0.50 GB")
    assert all(v["sizegb"].endswith(" GB") for v in cloud.list("listVolumesMetrics", listall=True))


def test_thresholds_follow_their_setting(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    machine(cloud, zone, isolated_network(cloud, zone, "n1"), "vm1")
    name = "cluster.cpu.allocated.capacity.notificationthreshold"
    assert not cloud.list("listClustersMetrics")[0]["cpuallocatedthreshold"]
    cloud.api("updateConfiguration", name=name, value="0.0001", clusterid=zone["cluster"])
    cloud.services.settings.reload()
    assert cloud.list("listClustersMetrics")[0]["cpuallocatedthreshold"]
    assert cloud.list("listHostsMetrics")[0]["cpuallocatedthreshold"]


def test_a_page_costs_a_constant_number_of_statements(cloud: Cloud) -> None:
    simulated_zone(cloud, hosts=2)
    counted: list[str] = []

    def watched(connection: sqlite3.Connection, *_: object) -> None:
        connection.set_trace_callback(counted.append)

    def cost(command: str) -> int:
        cloud.list(command)
        counted.clear()
        cloud.list(command)
        return len(counted)

    sa_event.listen(cloud.services.database.engine, "checkout", watched)
    commands = ("listHostsMetrics", "listClustersMetrics", "listZonesMetrics", "listStoragePoolsMetrics")
    few = {command: cost(command) for command in commands}
    simulated_zone(cloud, hosts=20, name="z2")
    for command, before in few.items():
        assert cost(command) <= before + 2, command  # settings are read again once a second
