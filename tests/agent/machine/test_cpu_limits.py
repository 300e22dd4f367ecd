"""CPU limits by real control groups, around processes that look like QEMU and never rest."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pileus.agent.linux import cpu_limits
from pileus.agent.linux.probe import cpu_mhz
from pileus.dataplane import cpu_quota
from pileus.wire.machines import MachineSpec
from tests.support.waiting import until

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not cpu_limits.supported(), reason="no control groups can be made here"),
]

PREFIX = "tcl"
SECONDS = 2.0


@pytest.fixture
def spec() -> Iterator[MachineSpec]:
    """A machine with a fifth of a core, and its process."""
    made = MachineSpec(
        name="i-2-1-VM",
        uuid=str(uuid.uuid4()),
        cpus=1,
        cpu_mhz=round(cpu_mhz() / 5),
        cpu_limited=True,
        memory_mib=32,
        disks=[],
        nics=[],
    )
    cpu_limits.remove(PREFIX)
    with subprocess.Popen(["qemu-busy", "-c", "while True: pass", made.uuid], executable=sys.executable) as process:
        until(lambda: made.uuid.encode() in Path(f"/proc/{process.pid}/cmdline").read_bytes(), 5, "its command line")
        yield made
        process.kill()
    cpu_limits.remove(PREFIX)


def test_a_limited_machine_has_its_mhz_and_no_more(spec: MachineSpec) -> None:
    assert cpu_limits.ensure(PREFIX, [spec]) == [spec.name]
    assert cpu_limits.ensure(PREFIX, [spec]) == [], "nothing to do"
    had = used(spec)
    time.sleep(SECONDS)
    assert 0.1 * SECONDS < used(spec) - had < 0.3 * SECONDS

    half = msgspec.structs.replace(spec, cpu_mhz=round(cpu_mhz() / 2))
    assert cpu_limits.ensure(PREFIX, [half]) == [spec.name]
    assert cpu_limits.ensure(PREFIX, [half]) == []


def test_groups_of_ended_machines_are_removed(spec: MachineSpec) -> None:
    cpu_limits.ensure(PREFIX, [spec])
    [group] = groups()
    assert cpu_limits.ensure(PREFIX, []) == []
    assert groups() == [group], "its process runs yet"
    subprocess.run(["pkill", "-9", "-f", spec.uuid], check=True)
    cpu_limits.remove(PREFIX)
    assert groups() == []


def test_who_is_not_limited_and_who_does_not_run_has_no_group(spec: MachineSpec) -> None:
    free = msgspec.structs.replace(spec, cpu_limited=False)
    ended = msgspec.structs.replace(spec, name="i-2-2-VM", uuid=str(uuid.uuid4()))
    assert cpu_limits.ensure(PREFIX, [free, ended]) == []
    assert groups() == []


@pytest.mark.parametrize(("cpus", "mhz", "microseconds"), [(1, 500, 20_000), (4, 2500, 400_000), (1, 1, 1_000)])
def test_quota(cpus: int, mhz: int, microseconds: int) -> None:
    spec = MachineSpec(name="v", uuid="u", cpus=cpus, cpu_mhz=mhz, memory_mib=64, disks=[], nics=[])
    assert cpu_quota.quota(spec, 2500) == microseconds


def groups() -> list[Path]:
    return [folder for root in ("cpu", ".") for folder in Path("/sys/fs/cgroup", root).glob(f"pileus-{PREFIX}-*")]


def used(spec: MachineSpec) -> float:
    """CPU seconds of the machine's process."""
    found = subprocess.run(["pgrep", "-f", spec.uuid], capture_output=True, text=True, check=True).stdout.split()
    fields = Path(f"/proc/{found[0]}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
