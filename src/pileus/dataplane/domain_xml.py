"""The domain XML of a machine for libvirt: a pure function of its spec and of the host's circumstances."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree as Xml

import msgspec

from pileus.dataplane import cpu_quota, names
from pileus.wire.machines import Disk, MachineSpec, Nic, Throttle

NAMESPACE = "urn:pileus:machine:1"  # of the metadata element that marks a domain as ours
TB_CACHE_MIB = 32  # QEMU's own choice for TCG grows to 1 GiB for each guest
LONGEST_VNC_PASSWORD = 8  # the protocol's limit; QEMU refuses longer ones
SMALLEST_SHARES, LARGEST_SHARES = 2, 262144  # libvirt's limits


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """What the host adds to a machine's spec."""

    domain: str  # the domain's name
    cloud: str  # marks the domain as one of this cloud's
    prefix: str  # of the names of its network interfaces
    accelerator: str  # "kvm" or "tcg"
    console_log: str  # file that the serial console is written to
    bridges: Mapping[str, str]  # NIC uuid -> bridge
    emulator: str = "/usr/bin/qemu-system-x86_64"
    cache: str = "none"  # of the disks; "writeback" where the file system cannot do direct I/O
    shares: bool = False  # whether cgroups can weigh the CPU, and limit it
    cpu_mhz: int = 0  # of one core of the host


def render(spec: MachineSpec, here: Circumstances) -> str:
    """Render the machine as libvirt's domain XML."""
    kvm = here.accelerator == "kvm"
    domain = Xml.Element("domain", type="kvm" if kvm else "qemu")
    _add(domain, "name", here.domain)
    _add(domain, "uuid", spec.uuid)
    if spec.title:
        _add(domain, "title", " ".join(spec.title.split()))
    Xml.register_namespace("pileus", NAMESPACE)
    Xml.SubElement(
        _add(domain, "metadata"), f"{{{NAMESPACE}}}machine", cloud=here.cloud, name=spec.name, uuid=spec.uuid
    )
    _add(domain, "memory", str(spec.memory_mib), unit="MiB")
    _add(domain, "currentMemory", str(spec.memory_mib), unit="MiB")
    _add(domain, "vcpu", str(spec.cpus), placement="static")
    if spec.io_threads:
        _add(domain, "iothreads", str(spec.io_threads))
    if here.shares:
        shares = min(max(spec.cpus * spec.cpu_mhz, SMALLEST_SHARES), LARGEST_SHARES)
        tune = _add(domain, "cputune")
        _add(tune, "shares", str(shares))
        if spec.cpu_limited and here.cpu_mhz:
            _add(tune, "global_period", str(cpu_quota.PERIOD))
            _add(tune, "global_quota", str(cpu_quota.quota(spec, here.cpu_mhz)))
    _identity(domain, spec)
    _platform(domain, kvm=kvm)
    devices = _add(domain, "devices")
    _add(devices, "emulator", here.emulator)
    for disk in sorted(spec.disks, key=lambda d: d.device):
        _disk(devices, disk, here, threads=spec.io_threads)
    for nic in sorted(spec.nics, key=lambda n: n.device):
        _nic(devices, nic, here)
    _consoles(devices, spec, here)
    for text in spec.extra:
        _extend(domain, devices, text)
    Xml.indent(domain)
    return Xml.tostring(domain, encoding="unicode") + "\n"


def _extend(domain: Xml.Element, devices: Xml.Element, text: str) -> None:
    """Put elements of the administrator's into the domain: devices are added, others stand instead of ours."""
    for element in list(Xml.fromstring(f"<domain>{text}</domain>")):  # noqa: S314 (checked where it was given)
        if element.tag == "devices":
            devices.extend(list(element))
            continue
        ours = domain.find(element.tag)
        if ours is None:
            domain.append(element)
        else:
            domain[list(domain).index(ours)] = element


def _identity(domain: Xml.Element, spec: MachineSpec) -> None:
    """Say through SMBIOS what guests look for: cloud-init knows its data source by this product name."""
    sysinfo = _add(domain, "sysinfo", type="smbios")
    system = _add(sysinfo, "system")
    _add(system, "entry", "Pileus", name="manufacturer")
    _add(system, "entry", "CloudStack KVM Hypervisor", name="product")
    _add(system, "entry", spec.uuid, name="serial")
    _add(system, "entry", spec.uuid, name="uuid")
    os = _add(domain, "os")
    _add(os, "type", "hvm", arch="x86_64", machine="pc")
    _add(os, "boot", dev="hd")
    _add(os, "smbios", mode="sysinfo")


def _platform(domain: Xml.Element, *, kvm: bool) -> None:
    features = _add(domain, "features")
    _add(features, "acpi")
    _add(features, "apic")
    if kvm:
        _add(domain, "cpu", mode="host-model", check="partial")
    else:
        _add(_add(features, "tcg"), "tb-cache", str(TB_CACHE_MIB), unit="MiB")
        _add(domain, "cpu", mode="maximum", check="none")
    _add(domain, "clock", offset="utc")
    _add(domain, "on_poweroff", "destroy")
    _add(domain, "on_reboot", "restart")
    _add(domain, "on_crash", "destroy")


def _disk(devices: Xml.Element, disk: Disk, here: Circumstances, *, threads: int) -> None:
    element = _add(devices, "disk", type="file", device="disk")
    cache = disk.cache or here.cache
    driver = _add(element, "driver", name="qemu", type=disk.format, cache=cache, discard="unmap")
    if disk.io:
        driver.set("io", "threads" if disk.io == "native" and cache != "none" else disk.io)  # needs direct I/O
    if threads and disk.bus == "virtio":
        driver.set("iothread", str(disk.device % threads + 1))
    _add(element, "source", file=disk.path)
    letters = {"virtio": "vd", "scsi": "sd", "sata": "sd", "ide": "hd"}
    _add(element, "target", dev=letters[disk.bus] + _letter(disk.device), bus=disk.bus)
    if disk.throttle is not None:
        _throttle(element, disk.throttle)
    if disk.read_only:
        _add(element, "readonly")
    _add(element, "serial", disk.volume.replace("-", "")[:20])


def _throttle(element: Xml.Element, limits: Throttle) -> None:
    """Limit what the disk does; the fields are named as libvirt's elements."""
    named = [(name, value) for name, value in msgspec.structs.asdict(limits).items() if value]
    if named:
        tune = _add(element, "iotune")
        for name, value in named:
            _add(tune, name, str(value))


def _nic(devices: Xml.Element, nic: Nic, here: Circumstances) -> None:
    element = _add(devices, "interface", type="bridge")
    _add(element, "mac", address=nic.mac)
    _add(element, "source", bridge=here.bridges[nic.uuid])
    _add(element, "target", dev=names.tap(here.prefix, nic.uuid))
    _add(element, "model", type=nic.model)
    if nic.queues > 1 or nic.packed:
        driver = _add(element, "driver")
        if nic.queues > 1:
            driver.set("queues", str(nic.queues))
        if nic.packed:
            driver.set("packed", "on")
    _add(element, "mtu", size=str(nic.segment.mtu))


_KEYMAPS = {"uk": "en-gb", "us": "en-us", "jp": "ja", "es-latam": "es", "nl-be": "nl"}
"""QEMU's names of layouts that CloudStack calls otherwise; it has not each."""


def _consoles(devices: Xml.Element, spec: MachineSpec, here: Circumstances) -> None:
    serial = _add(devices, "serial", type="file")
    _add(serial, "source", path=here.console_log)
    _add(serial, "target", port="0")
    channel = _add(devices, "channel", type="unix")
    _add(channel, "target", type="virtio", name="org.qemu.guest_agent.0")
    graphics = _add(devices, "graphics", type="vnc", port="-1", autoport="yes", listen="127.0.0.1")
    if spec.vnc_password:
        graphics.set("passwd", spec.vnc_password[:LONGEST_VNC_PASSWORD])
    if spec.keyboard:
        graphics.set("keymap", _KEYMAPS.get(spec.keyboard, spec.keyboard))
    _add(_add(devices, "video"), "model", type="vga")
    _add(devices, "memballoon", model="virtio")
    _add(_add(devices, "rng", model="virtio"), "backend", "/dev/urandom", model="random")


def _letter(index: int) -> str:
    """Count as disks do: a … z, aa, ab …"""
    text = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        text = chr(ord("a") + rest) + text
    return text


def _add(parent: Xml.Element, tag: str, text: str | None = None, **attributes: str) -> Xml.Element:
    element = Xml.SubElement(parent, tag, attributes)
    element.text = text
    return element
