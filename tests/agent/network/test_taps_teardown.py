"""Teardown takes away what keeps machines to their addresses and rates."""

from __future__ import annotations

from pathlib import Path

from pileus.agent import machines
from pileus.agent.linux import links, nftables
from pileus.agent.operations import machine
from pileus.agent.operations import network as networks
from pileus.dataplane import names
from pileus.wire.machines import MachineSpec, Nic
from tests.support import network
from tests.support.network import PREFIX


def test_teardown_leaves_nothing(tmp_path: Path):
    with network.lab(tmp_path) as lab:
        segment = lab.spec.guest.segment
        uuid = "c2b9ad1d-58c5-4a0e-8a3b-000000000001"
        nic = Nic(uuid=uuid, mac="02:00:00:00:00:15", address="10.1.1.21", segment=segment, device=0, rate_mbit=20)
        spec = MachineSpec(name="i-2-1-VM", uuid=uuid, cpus=1, cpu_mhz=500, memory_mib=32, disks=[], nics=[nic])
        tap = names.tap(PREFIX, uuid)
        network.run(["ip", "tuntap", "add", "dev", tap, "mode", "tap"])
        machines.keep(tmp_path, spec, running=True)
        machine.look_after(lab.context)
        assert tap in nftables.listing("bridge", names.host_table(PREFIX))
        assert links.index(names.shaper(PREFIX, uuid))
        network.run(["ip", "link", "del", tap])
        networks.teardown(lab.context)
        assert nftables.tables() == []
        assert [name for name in links.names() if name.startswith(PREFIX)] == []
