"""What the host and its machines use, measured at intervals: two looks make a share of the CPU."""

from __future__ import annotations

import time
from pathlib import Path

from pileus.drivers.hypervisors.base import Hypervisor
from pileus.wire.statistics import HostStatistics, Statistics

_FIRST_SECONDS = 5.0  # after the first look, which has nothing to be compared with


class Gauge:
    """Measures when it is time to, by the interval that management wants."""

    def __init__(self, hypervisor: Hypervisor | None, interval: float = 60.0) -> None:
        self.interval = interval
        self._hypervisor = hypervisor
        self._next = 0.0
        self._busy: tuple[int, int] | None = None  # jiffies: busy, all

    def due(self) -> Statistics | None:
        """Measure, if it is time; None when it is not, or when this was the first look."""
        moment = time.monotonic()
        if moment < self._next:
            return None
        machines = self._hypervisor.statistics() if self._hypervisor is not None else []
        before, self._busy = self._busy, jiffies(Path("/proc/stat").read_text())
        if before is None:
            self._next = moment + min(_FIRST_SECONDS, self.interval)
            return None
        self._next = moment + self.interval
        received, sent = traffic(Path("/proc/net/dev").read_text(), physical_links())
        busy, passed = self._busy[0] - before[0], self._busy[1] - before[1]
        share = round(100 * max(busy, 0) / passed, 2) if passed > 0 else 0.0
        host = HostStatistics(cpu_percent=share, received_kib=received // 1024, sent_kib=sent // 1024)
        return Statistics(host=host, machines=machines)

    def follow(self, interval: float) -> None:
        """Measure at this interval from now on; 0 = as before."""
        if interval and interval != self.interval:
            self.interval = interval
            self._next = min(self._next, time.monotonic() + interval)


def jiffies(text: str) -> tuple[int, int]:
    """Return how long the CPUs were busy, and how long they were there, by the first line of /proc/stat (proc(5))."""
    user, nice, system, idle, waiting, *others = (int(word) for word in text.split("\n", 1)[0].split()[1:])
    irq, softirq, stolen = [*others, 0, 0, 0][:3]  # guests' time is counted in user and nice already
    busy = user + nice + system + irq + softirq + stolen
    return busy, busy + idle + waiting


def physical_links() -> set[str]:
    """Return the interfaces that are devices, not made by software."""
    return {path.parent.name for path in Path("/sys/class/net").glob("*/device")}


def traffic(text: str, links: set[str]) -> tuple[int, int]:
    """Return the bytes that the interfaces have received and sent, by /proc/net/dev (proc(5))."""
    received = sent = 0
    for line in text.splitlines():
        name, colon, counters = line.partition(":")
        if colon and name.strip() in links:
            numbers = counters.split()
            received += int(numbers[0])
            sent += int(numbers[8])
    return received, sent
