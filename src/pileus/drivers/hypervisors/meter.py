"""What machines use, out of libvirt's statistics of domains (virConnectGetAllDomainStats)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import libvirt

from pileus.wire.statistics import DiskStatistics, MachineStatistics

ASKED = (
    libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
    | libvirt.VIR_DOMAIN_STATS_BALLOON
    | libvirt.VIR_DOMAIN_STATS_VCPU
    | libvirt.VIR_DOMAIN_STATS_INTERFACE
    | libvirt.VIR_DOMAIN_STATS_BLOCK
)


class Meter:
    """Makes a machine's numbers, and remembers its CPU time: two looks make a share."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, int], tuple[float, float]] = {}  # when, seconds of CPU
        self._seen: dict[tuple[str, int], tuple[float, float]] = {}

    def machine(self, key: tuple[str, int], stats: Mapping[str, Any], serials: Mapping[str, str]) -> MachineStatistics:
        """Return a running domain's numbers; ``key`` is its uuid and id, ``serials`` are its disks' by target."""
        look = (time.monotonic(), stats.get("cpu.time", 0) / 1e9)
        self._seen[key] = look
        return MachineStatistics(
            uuid=key[0],
            cpu_percent=_share(self._before.get(key), look, int(stats.get("vcpu.current", 1))),
            memory_kib=int(stats.get("balloon.current", 0)),
            free_kib=stats.get("balloon.unused"),
            received_kib=_sum(stats, "net", "rx.bytes") // 1024,  # of a tap libvirt tells the guest's view
            sent_kib=_sum(stats, "net", "tx.bytes") // 1024,
            disks=[disk for disk in _disks(stats, serials) if disk.volume],
        )

    def done(self) -> None:
        """End a look at all machines: forget those that were not seen."""
        self._before, self._seen = self._seen, {}


def _share(before: tuple[float, float] | None, now: tuple[float, float], cpus: int) -> float | None:
    """Return the percentage of its CPUs that a machine used between two looks."""
    if before is None or now[0] <= before[0] or now[1] < before[1]:
        return None
    return round(min(100.0, 100 * (now[1] - before[1]) / (now[0] - before[0]) / max(cpus, 1)), 2)


def _sum(stats: Mapping[str, Any], sort: str, what: str) -> int:
    return sum(int(stats.get(f"{sort}.{number}.{what}", 0)) for number in range(stats.get(f"{sort}.count", 0)))


def _disks(stats: Mapping[str, Any], serials: Mapping[str, str]) -> list[DiskStatistics]:
    found: list[DiskStatistics] = []
    for number in range(stats.get("block.count", 0)):
        own = f"block.{number}."
        found.append(
            DiskStatistics(
                volume=serials.get(stats.get(own + "name", ""), ""),
                read_kib=int(stats.get(own + "rd.bytes", 0)) // 1024,
                written_kib=int(stats.get(own + "wr.bytes", 0)) // 1024,
                reads=int(stats.get(own + "rd.reqs", 0)),
                writes=int(stats.get(own + "wr.reqs", 0)),
            )
        )
    return found
