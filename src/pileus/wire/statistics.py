"""What a host measured: its own CPU and traffic, and what its machines use.

Counters count from the start of the host or the machine; CPU is the share of all the CPUs since the measurement before.
"""

from __future__ import annotations

import msgspec


class HostStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A host as a whole."""

    cpu_percent: float  # busy, of all its CPUs
    received_kib: int  # by its physical interfaces
    sent_kib: int


class DiskStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """One disk of a machine."""

    volume: str  # the first 20 hexadecimal digits of its uuid: the disk's serial number
    read_kib: int
    written_kib: int
    reads: int
    writes: int


class MachineStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A machine that runs."""

    uuid: str
    cpu_percent: float | None = None  # of all its CPUs; None = not known yet
    memory_kib: int = 0  # that it has now
    free_kib: int | None = None  # of them, as its balloon driver says
    received_kib: int = 0
    sent_kib: int = 0
    disks: list[DiskStatistics] = []


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """All that a host has measured."""

    host: HostStatistics
    machines: list[MachineStatistics] = []
