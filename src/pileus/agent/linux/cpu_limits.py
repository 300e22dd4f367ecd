"""CPU limits of machines: a control group of our own for each limited QEMU, as this cloud's libvirtd has none.

Both layouts of control groups are known: a hierarchy of the controller `cpu` (v1), and the unified one (v2).  Source:
the kernel's documentation, admin-guide/cgroup-v2 (cpu.max) and scheduler/sched-bwc (cfs_quota_us).
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pileus.agent.linux.probe import cpu_mhz
from pileus.dataplane.cpu_quota import PERIOD, quota
from pileus.wire.machines import MachineSpec

_LEAVE_SECONDS = 2.0  # that a killed QEMU has to leave its group
_LIBVIRT = re.compile(r"/machine(\.slice)?/")  # a host's own libvirtd limits its guests itself


class _Controller(NamedTuple):
    """Where groups that limit the CPU are made."""

    root: Path
    unified: bool


def supported() -> bool:
    """Tell whether this host lets us limit CPU use, by making a group and removing it."""
    controller = _controller()
    if controller is None:
        return False
    group = controller.root / f"pileus-probe-{os.getpid()}"
    try:
        _make(controller, group)
        works = _file(controller, group).exists()
        group.rmdir()
    except OSError:
        return False  # the answer of this probe: read-only, or not ours to divide
    return works


def ensure(prefix: str, specs: Iterable[MachineSpec]) -> list[str]:
    """Limit those of the machines that are to be and run, and drop groups of others; returns what had to change.

    Raises OSError.
    """
    limited = {_name(prefix, spec.name): spec for spec in specs if spec.cpu_limited}
    controller = _controller()
    if controller is None:
        return []
    for group in _groups(controller, prefix):
        if group.name not in limited:
            _drop(group)
    return [spec.name for name, spec in limited.items() if _limit(controller, controller.root / name, spec)]


def remove(prefix: str) -> None:
    """Remove all groups of this cloud; their processes have been ended."""
    controller = _controller()
    if controller is None:
        return
    end = time.monotonic() + _LEAVE_SECONDS
    left = _groups(controller, prefix)
    while (left := [group for group in left if not _drop(group)]) and time.monotonic() < end:
        time.sleep(0.05)


def _limit(controller: _Controller, group: Path, spec: MachineSpec) -> bool:
    """Put a machine's QEMU into its group with the right quota; tell whether that changed anything."""
    wanted = quota(spec, cpu_mhz())
    if group.exists() and _read(controller, group) == wanted and (group / "cgroup.procs").read_text():
        return False
    process = _qemu(spec.uuid)
    if process is None or _LIBVIRT.search((process / "cgroup").read_text()):
        return False
    _make(controller, group)
    if controller.unified:
        (group / "cpu.max").write_text(f"{wanted} {PERIOD}")
    else:
        (group / "cpu.cfs_period_us").write_text(str(PERIOD))
        (group / "cpu.cfs_quota_us").write_text(str(wanted))
    with contextlib.suppress(ProcessLookupError):  # the machine has ended meanwhile
        (group / "cgroup.procs").write_text(process.name)
    return True


def _qemu(uuid: str) -> Path | None:
    """Find the process of a machine by its uuid, which libvirt puts into the command line."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"qemu" in words[0] and uuid.encode() in words:
                return process
    return None


@functools.cache
def _controller() -> _Controller | None:
    """Find the hierarchy that has the controller `cpu`."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, folder, kind, options = line.split()[:4]
        root = Path(folder)
        if kind == "cgroup" and "cpu" in options.split(","):
            return _Controller(root, unified=False)
        if kind == "cgroup2" and "cpu" in (root / "cgroup.controllers").read_text().split():
            return _Controller(root, unified=True)
    return None


def _make(controller: _Controller, group: Path) -> None:
    if controller.unified and "cpu" not in (controller.root / "cgroup.subtree_control").read_text().split():
        (controller.root / "cgroup.subtree_control").write_text("+cpu")
    group.mkdir(exist_ok=True)


def _drop(group: Path) -> bool:
    """Remove a group; False while a process is still in it."""
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _groups(controller: _Controller, prefix: str) -> list[Path]:
    return sorted(controller.root.glob(_name(prefix, "*")))


def _name(prefix: str, machine: str) -> str:
    return f"pileus-{prefix}-{machine}"


def _file(controller: _Controller, group: Path) -> Path:
    return group / ("cpu.max" if controller.unified else "cpu.cfs_quota_us")


def _read(controller: _Controller, group: Path) -> int:
    """Return a group's quota in microseconds; -1 when it has none."""
    told = _file(controller, group).read_text().split()[0]
    return -1 if told == "max" else int(told)
