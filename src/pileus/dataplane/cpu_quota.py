"""How much CPU time a limited machine has: its MHz as a share of the host's."""

from __future__ import annotations

from pileus.wire.machines import MachineSpec

PERIOD = 100_000  # microseconds over which the use is counted
_LEAST = 1_000  # microseconds; neither the kernel nor libvirt takes less


def quota(spec: MachineSpec, host_mhz: int) -> int:
    """Return the microseconds of CPU that all of a machine has in each `PERIOD`; `host_mhz` is of one core."""
    return max(_LEAST, round(PERIOD * spec.cpus * spec.cpu_mhz / host_mhz))
