"""What this host is and can do; above all, whether hardware virtualisation really works.

A /dev/kvm may exist and be useless, so the proof is a guest: 512 bytes of boot sector that write one byte to an
exit port.  Where the CPU does not even claim to virtualise, /dev/kvm is not touched at all.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import tempfile
from pathlib import Path

import structlog

from pileus.agent import registry
from pileus.agent.linux import cpu_limits
from pileus.agent.linux.probe import cpu_mhz, kernel_isolation
from pileus.agent.settings import Settings
from pileus.wire.hosts import HostFacts

log = structlog.get_logger(__name__)

EMULATOR = "qemu-system-x86_64"
_EXIT_PORT = 0xF4
_EXIT_VALUE = 0x15
_PROOF = _EXIT_VALUE << 1 | 1  # the status QEMU ends with when the guest writes the value to isa-debug-exit
_PROBE_SECONDS = 5.0


def accelerator(wanted: str = "auto") -> str:
    """Return "kvm" or "tcg": as wanted, or what a probe guest proves."""
    if wanted != "auto":
        return wanted
    flags = _cpu_flags(Path("/proc/cpuinfo").read_text())
    if not flags & {"vmx", "svm"}:
        log.info("the CPU does not virtualise: guests are emulated")
        return "tcg"
    if not Path("/dev/kvm").exists():
        log.warning("the CPU virtualises, but there is no /dev/kvm: load the module kvm_intel or kvm_amd")
        return "tcg"
    if guest_runs("kvm"):
        return "kvm"
    log.warning("a probe guest did not run by /dev/kvm: guests are emulated")
    return "tcg"


def guest_runs(kind: str) -> bool:
    """Start a guest of one boot sector with the accelerator `kind` and tell whether its CPU ran it."""
    with tempfile.TemporaryDirectory(prefix="pileus-probe-") as folder:
        disk = Path(folder) / "boot"
        disk.write_bytes(_disk())
        device = f"isa-debug-exit,iobase={_EXIT_PORT:#x},iosize=0x04"
        command = [EMULATOR, "-accel", kind, "-machine", "pc", "-m", "16", "-display", "none", "-nodefaults"]
        command += ["-no-reboot", "-device", device, "-drive", f"file={disk},format=raw,if=ide"]
        try:
            ended = subprocess.run(command, capture_output=True, timeout=_PROBE_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return False
    if ended.returncode != _PROOF:
        log.info("probe guest", accelerator=kind, status=ended.returncode, said=ended.stderr[-300:].decode())
    return ended.returncode == _PROOF


def boot_sector() -> bytes:
    """Assemble the probe guest: mov al, value; out port, al; then halt for ever."""
    code = bytes([0xB0, _EXIT_VALUE, 0xE6, _EXIT_PORT, 0xFA, 0xF4, 0xEB, 0xFC])
    return code.ljust(510, b"\0") + b"\x55\xaa"


def _disk() -> bytes:
    """Return a disk of 1 MiB: from one of a single sector the BIOS does not boot everywhere."""
    return boot_sector().ljust(1 << 20, b"\0")


def gather(settings: Settings, found: str, hypervisor_version: str = "") -> HostFacts:
    """Look at the host; `found` is the accelerator that was proved."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    return HostFacts(
        uuid=settings.host,
        name=settings.name,
        hypervisor="KVM",
        hypervisor_version=hypervisor_version or emulator_version(),
        accelerator=found,
        cpus=len(os.sched_getaffinity(0)),
        cpu_mhz=cpu_mhz(),
        cpu_model=_field(cpuinfo, "model name"),
        memory_mib=memory_mib()[0],
        cpu_sockets=cpu_sockets(cpuinfo),
        tunnel_address=settings.tunnel_address,
        isolation=sorted(kernel_isolation()),
        limits_cpu=cpu_limits.supported(),
        operations=registry.kinds(),
        version=importlib.metadata.version("pileus"),
        labels=settings.labels,
    )


def emulator_version() -> str:
    """Ask QEMU for its version."""
    told = subprocess.run([EMULATOR, "--version"], capture_output=True, timeout=10, text=True, check=True)
    match = re.search(r"version (\d+(?:\.\d+)+)", told.stdout)
    return match.group(1) if match else ""


def cpu_sockets(cpuinfo: str) -> int:
    """Return how many processors there are; one where /proc/cpuinfo does not tell them apart."""
    return len(set(re.findall(r"^physical id\s*:\s*(\d+)$", cpuinfo, re.MULTILINE))) or 1


def memory_mib() -> tuple[int, int]:
    """Return the host's memory and how much of it is used, in MiB."""
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    total, available = (int(lines[key].split()[0]) // 1024 for key in ("MemTotal", "MemAvailable"))
    return total, total - available


def boot_id() -> str:
    """Return the id of this boot of the host."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _cpu_flags(cpuinfo: str) -> set[str]:
    return set(_field(cpuinfo, "flags").split())


def _field(cpuinfo: str, name: str) -> str:
    match = re.search(rf"^{re.escape(name)}\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    return match.group(1).strip() if match else ""
