"""What hosts, machines and volumes use, as agents measure it and lists show it."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from pileus.compute.tables import machine as machine_table
from pileus.compute.tables import machine_statistics
from pileus.infrastructure import reports
from pileus.infrastructure.tables import host
from pileus.storage.tables import volume_statistics
from pileus.wire.hosts import Report
from pileus.wire.machines import MachineState
from pileus.wire.statistics import DiskStatistics, HostStatistics, MachineStatistics, Statistics
from tests.support.cloud import Cloud
from tests.support.zones import isolated_network, machine, simulated_zone


def measured(cloud: Cloud, at: str, machines: Sequence[MachineStatistics]) -> None:
    """Let the host's agent report what it measured."""
    states = [MachineState(name="", uuid=each.uuid, power="on") for each in machines]
    own = HostStatistics(cpu_percent=25.0, received_kib=3 * 1024 * 1024, sent_kib=1024)
    found = Statistics(host=own, machines=list(machines))
    report = Report(host=at, sequence=1, boot="b", load=1, memory_used_mib=512, machines=states, statistics=found)
    reports.write(cloud.services, [report])


def test_what_agents_measure_is_shown(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=2)
    vm = machine(cloud, zone, isolated_network(cloud, zone, "n1"), "vm1")
    other = machine(cloud, zone, vm["nic"][0]["networkid"], "vm2")
    (root_disk,) = cloud.list("listVolumes", virtualmachineid=vm["id"])
    with cloud.services.database.write() as db:
        db.execute(sa.update(machine_table).values(hypervisor="KVM"))
        db.execute(sa.update(host).where(host.c.uuid == vm["hostid"]).values(hypervisor="KVM"))
    assert "cpuused" not in cloud.list("listVirtualMachines", id=vm["id"])[0], "nothing was measured yet"
    serial = root_disk["id"].replace("-", "")[:20]
    disk = DiskStatistics(volume=serial, read_kib=4096, written_kib=1024, reads=7, writes=5)
    use = MachineStatistics(
        uuid=vm["id"], cpu_percent=12.5, memory_kib=524288, free_kib=1000, received_kib=2048, sent_kib=512, disks=[disk]
    )
    for _ in range(2):
        measured(cloud, vm["hostid"], [use])

    (found,) = cloud.list("listVirtualMachinesMetrics", id=vm["id"])
    assert (found["cpuused"], found["networkkbsread"], found["networkkbswrite"]) == ("12.50%", 2048, 512)
    assert (found["diskkbsread"], found["diskkbswrite"], found["diskioread"], found["diskiowrite"]) == (
        4096,
        1024,
        7,
        5,
    )
    assert (found["memorykbs"], found["memoryintfreekbs"], found["diskiopstotal"]) == (524288, 1000, 12)
    assert (found["networkread"], found["diskwrite"]) == ("2.00 MB", "1.00 MB")
    assert "cpuused" not in cloud.list("listVirtualMachines", id=vm["id"], details="min")[0]
    assert "cpuused" not in cloud.list("listVirtualMachines", id=other["id"])[0]
    (of_disk,) = cloud.list("listVolumesMetrics", id=root_disk["id"])
    assert (of_disk["diskkbsread"], of_disk["diskiowrite"], of_disk["diskiopstotal"]) == (4096, 5, 12)
    (of_host,) = cloud.list("listHostsMetrics", id=vm["hostid"])
    assert (of_host["cpuused"], of_host["cpuusedghz"], of_host["networkread"]) == ("25.00%", "80.00 GHz", "3.00 GB")
    assert of_host["networkkbswrite"] == 1024
    (of_zone,) = cloud.list("listZonesMetrics")
    assert (of_zone["cpuused"], of_zone["cpumaxdeviation"]) == ("12.50%", "100.00%"), "the other host does nothing"

    cloud.job("stopVirtualMachine", id=vm["id"], forced=True)
    assert "cpuused" not in cloud.list("listVirtualMachines", id=vm["id"])[0]


def test_simulated_machines_use_nothing_but_their_memory(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    vm = machine(cloud, zone, isolated_network(cloud, zone, "n1"), "vm1")
    (found,) = cloud.list("listVirtualMachinesMetrics", id=vm["id"])
    assert (found["cpuused"], found["memorykbs"], found["diskiopstotal"]) == ("0.00%", 512 * 1024, 0)
    (of_host,) = cloud.list("listHostsMetrics")
    assert (of_host["cpuused"], of_host["cpusockets"]) == ("0.00%", 2)
    assert of_host["memoryused"] == of_host["memoryallocated"]
    assert "lastpinged" in of_host


def test_numbers_go_with_what_is_purged(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    vm = machine(cloud, zone, isolated_network(cloud, zone, "n1"), "vm1")
    with cloud.services.database.write() as db:
        db.execute(sa.update(machine_table).values(hypervisor="KVM"))
    (root_disk,) = cloud.list("listVolumes", virtualmachineid=vm["id"])
    disk = DiskStatistics(volume=root_disk["id"].replace("-", "")[:20], read_kib=1, written_kib=1, reads=1, writes=1)
    measured(cloud, vm["hostid"], [MachineStatistics(uuid=vm["id"], disks=[disk])])
    with cloud.services.database.write() as db:
        db.execute(sa.update(machine_table).values(hypervisor="Simulator"))
    cloud.job("destroyVirtualMachine", id=vm["id"], expunge=True)
    cloud.job("purgeExpungedResources", resourcetype="VirtualMachine")
    with cloud.services.database.read() as db:
        assert db.execute(sa.select(machine_statistics)).first() is None
        assert db.execute(sa.select(volume_statistics)).first() is None
