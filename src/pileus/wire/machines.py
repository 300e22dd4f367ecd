"""The desired state of one machine on a host."""

from __future__ import annotations

import msgspec

from pileus.wire.segments import Segment


class Throttle(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a disk may do at most, a second; 0 = no limit.

    ``max`` is what it may do in a burst, which lasts ``max_length`` seconds at most (0 = the hypervisor's choice).  The
    total and the limits of reading and writing exclude each other.
    """

    read_bytes_sec: int = 0
    write_bytes_sec: int = 0
    total_iops_sec: int = 0
    read_iops_sec: int = 0
    write_iops_sec: int = 0
    read_bytes_sec_max: int = 0
    write_bytes_sec_max: int = 0
    read_iops_sec_max: int = 0
    write_iops_sec_max: int = 0
    read_bytes_sec_max_length: int = 0
    write_bytes_sec_max_length: int = 0
    read_iops_sec_max_length: int = 0
    write_iops_sec_max_length: int = 0


class Disk(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A volume as the machine sees it."""

    volume: str  # uuid
    pool: str  # uuid of its primary storage
    path: str  # as the storage driver answered when it made the volume
    device: int  # 0 = root, 1 and up = data
    format: str = "qcow2"
    bus: str = "virtio"
    read_only: bool = False
    cache: str = ""  # "writeback" or "writethrough"; "" = none, as far as the host's file system allows
    throttle: Throttle | None = None
    io: str = ""  # native, io_uring or threads; "" = the hypervisor's choice


class Nic(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A network interface of the machine."""

    uuid: str
    mac: str
    address: str
    segment: Segment
    device: int  # 0 = first
    model: str = "virtio"
    rate_mbit: int = 0  # 0 = no limit
    queues: int = 0  # pairs of queues; 0 = one
    packed: bool = False  # packed virtqueues


class MachineSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything a hypervisor needs to run the machine."""

    name: str  # "i-2-12-VM"
    uuid: str
    cpus: int
    cpu_mhz: int
    cpu_limited: bool = False  # it never has more than these MHz, even where nobody else wants them
    memory_mib: int
    disks: list[Disk]
    nics: list[Nic]
    vnc_password: str = ""
    title: str = ""  # display name, for people who look at the host
    generation: int = 0  # an older one than the host has is refused as "stale"
    io_threads: int = 0  # threads of their own for the disks
    extra: list[str] = []  # elements of libvirt's domain XML, by the administrator's leave
    keyboard: str = ""  # layout of the console: "de", "fr-ch" ...; "" = the viewer's own


class MachineState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the host says of one machine."""

    name: str
    uuid: str
    power: str  # "on" | "off" | "paused" | "crashed"
    cpu_seconds: float = 0.0
    vnc_port: int = 0


class MachineRef(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Arguments of machine.destroy."""

    name: str


class MachineStop(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Arguments of machine.stop and machine.reboot."""

    name: str
    force: bool = False  # pull the plug at once
    timeout: float = 30.0  # seconds that the guest has after the power button; then the plug is pulled


class MachineStates(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Result of machine.list."""

    machines: list[MachineState] = []


class Nothing(msgspec.Struct, frozen=True):
    """Arguments of an operation that needs none: machine.list, host.facts."""
