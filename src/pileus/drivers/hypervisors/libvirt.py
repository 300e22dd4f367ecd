"""The hypervisor driver `libvirt`: KVM, or QEMU's own emulation where the hardware cannot virtualise.

Domains are persistent and carry the cloud's mark in their metadata; domains without it are never touched.
"""

from __future__ import annotations

import builtins
import contextlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as Xml

import libvirt
import structlog

from pileus.dataplane import domain_xml
from pileus.drivers.hypervisors.base import HypervisorError
from pileus.drivers.hypervisors.connection import Connections, Watcher
from pileus.drivers.hypervisors.meter import ASKED, Meter
from pileus.wire.machines import MachineSpec, MachineState
from pileus.wire.statistics import MachineStatistics

log = structlog.get_logger(__name__)

_BUTTON_SECONDS = 3.0  # a guest that is still booting misses the power button: press it again
_LOOK_SECONDS = 0.1
_POWER = {
    libvirt.VIR_DOMAIN_RUNNING: "on",
    libvirt.VIR_DOMAIN_BLOCKED: "on",
    libvirt.VIR_DOMAIN_SHUTDOWN: "on",
    libvirt.VIR_DOMAIN_PAUSED: "paused",
    libvirt.VIR_DOMAIN_PMSUSPENDED: "paused",
    libvirt.VIR_DOMAIN_CRASHED: "crashed",
}
_CRASHES = {libvirt.VIR_DOMAIN_SHUTOFF_CRASHED, libvirt.VIR_DOMAIN_SHUTOFF_FAILED}
_ENDED = {libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID}  # it did, since it was listed
_CAPACITY_CODES = {libvirt.VIR_ERR_NO_MEMORY, libvirt.VIR_ERR_RESOURCE_BUSY}


class _Look(NamedTuple):
    """What a domain's XML says; no name when the domain is not ours."""

    name: str = ""
    port: int = 0  # of the console
    serials: Mapping[str, str] = {}  # of the disks, by target


class LibvirtHypervisor:
    """Machines of one cloud in one libvirtd."""

    name = "KVM"

    def __init__(
        self,
        uri: Callable[[], str],
        *,
        cloud: str,
        prefix: str,
        consoles: Path,
        accelerator: str,
        shared: bool,
        cpu_mhz: int = 0,
    ) -> None:
        """Use the libvirtd at `uri()`; `shared` says that others have domains there too, `cpu_mhz` is of one core."""
        self._connections = Connections(uri)
        self._cloud = cloud
        self._prefix = prefix
        self._consoles = consoles
        self._accelerator = accelerator
        self._shared = shared
        self._cpu_mhz = cpu_mhz
        self._shares = shared  # our own libvirtd has no cgroup controllers
        self._watcher: Watcher | None = None
        self._known: dict[tuple[str, int], _Look] = {}  # by uuid and domain id
        self._meter = Meter()

    def version(self) -> str:
        """Tell QEMU's version, as libvirt runs it."""
        number = self._connections.get().getVersion()
        return f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}"

    def start(self, spec: MachineSpec, bridges: Mapping[str, str]) -> MachineState:
        """Define and start the domain; one that runs is left alone."""
        connection = self._connections.get()
        with _translated(f"machine {spec.name} cannot start"):
            existing = self._find(connection, spec.name)
            if existing is not None and existing.isActive():
                return self._state(existing)
            self._consoles.mkdir(parents=True, exist_ok=True)
            domain = self._define(connection, spec, bridges)
            try:
                domain.create()
            except libvirt.libvirtError as error:
                if not (self._shares and _lacks_cgroups(error)):
                    raise
                log.warning("CPU shares are off: this libvirt has no cgroups", why=str(error))
                self._shares = False
                domain = self._define(connection, spec, bridges)
                domain.create()
            return self._state(domain)

    def stop(self, name: str, *, force: bool, timeout: float) -> None:
        """Press the power button and pull the plug after `timeout` seconds; with `force` pull it at once."""
        with _translated(f"machine {name} cannot stop"):
            domain = self._find(self._connections.get(), name)
            if domain is None or not domain.isActive():
                return
            if not force and self._shut_down(domain, timeout):
                return
            log.info("machine is powered off", machine=name, forced=force)
            _destroy(domain)

    def reboot(self, name: str, *, force: bool, timeout: float) -> MachineState:
        """Stop and start the machine: a new QEMU with the definition of the last start."""
        self.stop(name, force=force, timeout=timeout)
        with _translated(f"machine {name} cannot start again"):
            domain = self._find(self._connections.get(), name)
            if domain is None:
                raise HypervisorError("machine-missing", f"there is no machine {name} on this host")
            if not domain.isActive():
                domain.create()
            return self._state(domain)

    def destroy(self, name: str) -> None:
        """Power the machine off, undefine it, and remove its console log."""
        with _translated(f"machine {name} cannot be removed"):
            domain = self._find(self._connections.get(), name)
            if domain is not None:
                _destroy(domain)
                domain.undefineFlags(
                    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
                    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
                    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
                    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
                )
        self._console_log(name).unlink(missing_ok=True)

    def list(self) -> list[MachineState]:
        """Look at all domains that carry this cloud's mark."""
        states: list[MachineState] = []
        with _translated("the machines of this host cannot be listed"):
            seen: dict[tuple[str, int], _Look] = {}
            for domain, stats in self._connections.get().getAllDomainStats(
                libvirt.VIR_DOMAIN_STATS_STATE | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL, 0
            ):
                key = (domain.UUIDString(), domain.ID())
                try:
                    look = seen[key] = self._known.get(key) or self._look(domain)
                except libvirt.libvirtError as error:
                    if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                        continue  # gone since it was listed
                    raise
                if look.name:
                    power = _power(stats["state.state"], stats.get("state.reason", 0))
                    seconds = stats.get("cpu.time", 0) / 1e9
                    states.append(
                        MachineState(name=look.name, uuid=key[0], power=power, cpu_seconds=seconds, vnc_port=look.port)
                    )
            self._known = seen
        return states

    def statistics(self) -> builtins.list[MachineStatistics]:
        """Measure what the running machines of this cloud use."""
        found: builtins.list[MachineStatistics] = []
        with _translated("the machines of this host cannot be measured"):
            running = self._connections.get().getAllDomainStats(ASKED, libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE)
            for domain, stats in running:
                key = (domain.UUIDString(), domain.ID())
                look = self._known.get(key)  # who is not listed yet is measured the next time
                if look is not None and look.name:
                    found.append(self._meter.machine(key, stats, look.serials))
            self._meter.done()
        return found

    def grow_disk(self, path: str, size: int) -> bool:
        """Have QEMU grow the disk, whose file it holds the lock of."""
        with _translated(f"the disk {path} of a running machine cannot grow to {size} bytes"):
            for domain in self._connections.get().listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
                try:
                    name, tree = self._read(domain)
                    target = _target(tree, path) if name else ""
                    if target:
                        domain.blockResize(target, size, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
                        return True
                except libvirt.libvirtError as error:
                    if error.get_error_code() not in _ENDED:
                        raise
        return False

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` soon after any domain started, stopped or crashed."""
        self._watcher = Watcher(self._connections, changed)

    def close(self) -> None:
        """Stop watching."""
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None

    def _define(
        self, connection: libvirt.virConnect, spec: MachineSpec, bridges: Mapping[str, str]
    ) -> libvirt.virDomain:
        here = domain_xml.Circumstances(
            domain=self._domain_name(spec.name),
            cloud=self._cloud,
            prefix=self._prefix,
            accelerator=self._accelerator,
            console_log=str(self._console_log(spec.name)),
            bridges=bridges,
            cache="none" if all(_direct_io(disk.path) for disk in spec.disks) else "writeback",
            shares=self._shares,
            cpu_mhz=self._cpu_mhz,
        )
        return connection.defineXML(domain_xml.render(spec, here))

    def _find(self, connection: libvirt.virConnect, name: str) -> libvirt.virDomain | None:
        """Return the cloud's domain of a machine; one of that name that is not ours is an error."""
        try:
            domain = connection.lookupByName(self._domain_name(name))
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise
        if self._look(domain).name != name:
            text = f"libvirt has a domain {domain.name()} that does not belong to this cloud"
            raise HypervisorError("name-taken", text)
        return domain

    def _domain_name(self, name: str) -> str:
        return f"{self._prefix}-{name}" if self._shared else name

    def _console_log(self, name: str) -> Path:
        return self._consoles / f"{name}.log"

    def _look(self, domain: libvirt.virDomain) -> _Look:
        """Read the machine's name, VNC port and disks from the domain's XML."""
        name, tree = self._read(domain)
        if not name:
            return _Look()
        graphics = tree.find("devices/graphics[@type='vnc']")
        port = int(graphics.get("port", "0")) if graphics is not None else 0
        serials = {
            target.get("dev", ""): disk.findtext("serial", "")
            for disk in tree.iterfind("devices/disk")
            if (target := disk.find("target")) is not None
        }
        return _Look(name, max(port, 0), serials)

    def _read(self, domain: libvirt.virDomain) -> tuple[str, Xml.Element]:
        """Read the machine's name and the domain's XML; the name is "" when the domain is not ours."""
        tree = Xml.fromstring(domain.XMLDesc())  # noqa: S314 - libvirt's own output
        mark = tree.find(f"metadata/{{{domain_xml.NAMESPACE}}}machine")
        if mark is None or mark.get("cloud") != self._cloud:
            return "", tree
        return mark.get("name", ""), tree

    def _state(self, domain: libvirt.virDomain) -> MachineState:
        state, reason = (int(number) for number in domain.state())
        look = self._look(domain)
        return MachineState(name=look.name, uuid=domain.UUIDString(), power=_power(state, reason), vnc_port=look.port)

    def _shut_down(self, domain: libvirt.virDomain, timeout: float) -> bool:
        """Press the power button until the guest is off; False when it is not in time."""
        end, press = time.monotonic() + timeout, 0.0
        while (now := time.monotonic()) < end:
            if now >= press:
                with contextlib.suppress(libvirt.libvirtError):  # it may have ended this moment: looked at below
                    domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
                press = now + _BUTTON_SECONDS
            time.sleep(_LOOK_SECONDS)
            if not domain.isActive():
                return True
        return False


@contextlib.contextmanager
def _translated(what: str):
    """Turn libvirt's errors into the driver's."""
    try:
        yield
    except libvirt.libvirtError as error:
        code = "no-room" if error.get_error_code() in _CAPACITY_CODES else "hypervisor"
        raise HypervisorError(code, what, retryable=True, detail=str(error)) from error


def _destroy(domain: libvirt.virDomain) -> None:
    try:
        domain.destroy()
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:  # that one says: it is off already
            raise


def _target(tree: Xml.Element, path: str) -> str:
    """Name the disk of a file in a domain's XML, such as vda; "" when the domain has no such disk."""
    for disk in tree.iterfind("devices/disk"):
        source, target = disk.find("source"), disk.find("target")
        if source is not None and target is not None and source.get("file") == path:
            return target.get("dev", "")
    return ""


def _lacks_cgroups(error: libvirt.libvirtError) -> bool:
    text = str(error).lower()
    return "cgroup" in text or "cpu tuning" in text


def _power(state: int, reason: int) -> str:
    if state == libvirt.VIR_DOMAIN_SHUTOFF:
        return "crashed" if reason in _CRASHES else "off"
    return _POWER.get(state, "off")


def _direct_io(path: str) -> bool:
    """Tell whether a disk's file system can do direct I/O (tmpfs, for one, may not)."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT))
    except OSError:
        return False
    return True
