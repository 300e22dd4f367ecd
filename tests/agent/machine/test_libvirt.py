"""The libvirt driver with a real libvirtd of our own and real guests under emulation."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import libvirt
import msgspec
import pytest
import structlog

from pileus.agent import libvirtd, probe
from pileus.agent.libvirtd import Libvirtd
from pileus.drivers.hypervisors.base import HypervisorError
from pileus.drivers.hypervisors.libvirt import LibvirtHypervisor
from pileus.drivers.storage import qcow2
from pileus.wire.machines import Disk, MachineSpec, Throttle
from tests.contracts.hypervisor import HypervisorContract
from tests.support.guest import READY, write_disk
from tests.support.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.e2e, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

PREFIX = "tlv"
# Ends Python, then lingers in the C library's exit, where libvirt's threads used to call into what was gone.
LINGERING = """
import ctypes, sys
from pileus.drivers.hypervisors.connection import Connections
ctypes.CDLL(None)["__cxa_atexit"](ctypes.CDLL(None).sleep, ctypes.c_void_p(2), None)
Connections(lambda: sys.argv[1]).open().getVersion()
print("used", flush=True)
"""


@pytest.fixture(scope="module")
def agent_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pileus-test-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path


@pytest.fixture(scope="module")
def daemon(agent_folder: Path) -> Iterator[Libvirtd]:
    daemon = Libvirtd(agent_folder / "libvirt", PREFIX)
    daemon.start()
    yield daemon
    daemon.stop()


def driver(daemon: Libvirtd, folder: Path, cloud: str = "one") -> LibvirtHypervisor:
    return LibvirtHypervisor(
        daemon.uri, cloud=cloud, prefix=PREFIX, consoles=folder / "consoles", accelerator="tcg", shared=False
    )


def machine(folder: Path, name: str = "i-2-1-VM", *, deaf: bool = False) -> MachineSpec:
    disk = write_disk(folder / f"{name}.raw", deaf=deaf)
    root = Disk(volume=str(uuid.uuid4()), pool=str(uuid.uuid4()), path=str(disk), device=0, format="raw")
    return MachineSpec(name=name, uuid=str(uuid.uuid4()), cpus=1, cpu_mhz=500, memory_mib=32, disks=[root], nics=[])


class TestLibvirt(HypervisorContract):
    @pytest.fixture
    def hypervisor(self, daemon: Libvirtd, agent_folder: Path) -> LibvirtHypervisor:
        return driver(daemon, agent_folder)

    @pytest.fixture
    def spec(self, agent_folder: Path) -> MachineSpec:
        return machine(agent_folder)

    def log(self, folder: Path, spec: MachineSpec) -> bytes:
        return (folder / "consoles" / f"{spec.name}.log").read_bytes()

    def test_guest_really_runs(self, hypervisor, spec, agent_folder):
        state = hypervisor.start(spec, {})
        until(lambda: READY in self.log(agent_folder, spec), 20, "the guest's greeting")
        assert state.vnc_port >= 5900
        until(lambda: hypervisor.list()[0].cpu_seconds > 0, 10)

    def test_command_lines_name_the_folder(self, hypervisor, spec, agent_folder, daemon):
        hypervisor.start(spec, {})
        command = ["pgrep", "-f", str(agent_folder)]
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        names = {Path(f"/proc/{pid}/comm").read_text().strip() for pid in found.stdout.split()}
        assert {"libvirtd", "qemu-system-x86"} <= names

    def test_deaf_guest_is_powered_off(self, hypervisor, agent_folder):
        spec = machine(agent_folder, deaf=True)
        hypervisor.start(spec, {})
        hypervisor.stop(spec.name, force=False, timeout=1)
        assert self.power(hypervisor, spec) == "off"

    def test_guest_survives_a_killed_libvirtd(self, hypervisor, spec, daemon):
        hypervisor.start(spec, {})
        pid = daemon.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: daemon.pid() is None, 10, "libvirtd's end")
        with pytest.raises(HypervisorError) as caught:
            hypervisor.list()
        assert caught.value.retryable
        daemon.start()
        until(lambda: self.power(hypervisor, spec) == "on", 20, "the guest under the new libvirtd")
        hypervisor.stop(spec.name, force=False, timeout=20)
        assert self.power(hypervisor, spec) == "off"

    def test_disks_have_threads_of_their_own_and_extra_elements_are_there(self, hypervisor, spec, daemon, agent_folder):
        root = msgspec.structs.replace(spec.disks[0], io="threads")
        extra = ["<devices><watchdog model='i6300esb' action='none'/></devices>"]
        hypervisor.start(msgspec.structs.replace(spec, disks=[root], io_threads=1, extra=extra), {})
        until(lambda: READY in self.log(agent_folder, spec), 20, "the guest's greeting")
        connection = libvirt.open(daemon.uri())
        try:
            domain = connection.lookupByUUIDString(spec.uuid)
            text, threads = domain.XMLDesc(), domain.ioThreadInfo()
        finally:
            connection.close()
        assert len(threads) == 1
        assert "io='threads'" in text
        assert "iothread='1'" in text
        assert "i6300esb" in text

    def test_disks_are_throttled_and_cached_as_asked(self, hypervisor, spec, daemon, agent_folder):
        limits = Throttle(
            read_bytes_sec=10_000_000,
            read_bytes_sec_max=20_000_000,
            read_bytes_sec_max_length=3,
            write_iops_sec=500,
        )
        root = msgspec.structs.replace(spec.disks[0], throttle=limits, cache="writethrough")
        data = write_disk(agent_folder / "data.raw")
        second = Disk(
            volume=str(uuid.uuid4()),
            pool=root.pool,
            path=str(data),
            device=1,
            format="raw",
            throttle=Throttle(total_iops_sec=700),
        )
        hypervisor.start(msgspec.structs.replace(spec, disks=[root, second]), {})
        until(lambda: READY in self.log(agent_folder, spec), 20, "the guest's greeting")
        connection = libvirt.open(daemon.uri())
        try:
            domain = connection.lookupByUUIDString(spec.uuid)
            of_root, of_data = domain.blockIoTune("vda"), domain.blockIoTune("vdb")
            text = domain.XMLDesc()
        finally:
            connection.close()
        asked = {
            "read_bytes_sec": 10_000_000,
            "read_bytes_sec_max_length": 3,
            "write_iops_sec": 500,
            "total_iops_sec": 0,
        }
        assert {name: of_root[name] for name in asked} == asked
        assert of_data["total_iops_sec"] == 700
        assert text.count("cache='writethrough'") == 1

    def test_other_domains_are_not_touched(self, hypervisor, spec, daemon, agent_folder):
        foreign = driver(daemon, agent_folder, cloud="two")
        foreign.start(spec, {})
        try:
            assert hypervisor.list() == []
            for act in (lambda: hypervisor.start(spec, {}), lambda: hypervisor.destroy(spec.name)):
                with pytest.raises(HypervisorError) as caught:
                    act()
                assert caught.value.code == "name-taken"
            assert [state.power for state in foreign.list()] == ["on"]
        finally:
            foreign.destroy(spec.name)

    def test_missing_disk_is_an_error(self, hypervisor, spec):
        Path(spec.disks[0].path).unlink()
        with pytest.raises(HypervisorError) as caught:
            hypervisor.start(spec, {})
        assert "cannot start" in caught.value.message

    def test_disk_grows_under_the_running_guest(self, hypervisor, spec, agent_folder):
        volume = agent_folder / "volume.qcow2"
        qcow2.write(volume, 2**20)
        data = Disk(volume=str(uuid.uuid4()), pool=str(uuid.uuid4()), path=str(volume), device=1)
        spec = msgspec.structs.replace(spec, disks=[*spec.disks, data])
        assert not hypervisor.grow_disk(str(volume), 2**21), "no machine runs"
        hypervisor.start(spec, {})
        assert hypervisor.grow_disk(str(volume), 2**22)
        assert not hypervisor.grow_disk(str(agent_folder / "other.qcow2"), 2**22)
        header = qcow2.read(volume)
        assert header is not None
        assert header.size == 2**22
        assert self.power(hypervisor, spec) == "on"

    def test_definition_is_quick(self, hypervisor, spec, daemon):
        """A /dev/kvm that QEMU's user cannot open would cost half a minute here."""
        connection = libvirt.open(daemon.uri())
        try:
            assert connection.getCapabilities()
        finally:
            connection.close()
        hypervisor.start(spec, {})


def test_no_mount_is_left_on_the_host(daemon: Libvirtd):
    assert daemon.pid() is not None
    assert "libvirt" not in Path("/proc/self/mountinfo").read_text()


def users(folder: Path) -> set[str]:
    """Name the users of the QEMU processes whose command line has the folder."""
    command = ["pgrep", "-f", f"qemu-system-x86_64.*{folder}"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    return {Path(f"/proc/{pid}").owner() for pid in found.stdout.split()}


def test_qemu_has_a_user_of_its_own(daemon: Libvirtd, agent_folder: Path):
    hypervisor, spec = driver(daemon, agent_folder), machine(agent_folder)
    try:
        hypervisor.start(spec, {})
        assert users(agent_folder) == {"libvirt-qemu"}
    finally:
        hypervisor.destroy(spec.name)


def test_qemu_is_root_where_its_user_cannot_reach_the_folder():
    with tempfile.TemporaryDirectory(prefix="pileus-test-") as name:  # 0700
        folder = Path(name) / "agent"
        folder.mkdir()
        daemon = Libvirtd(folder / "libvirt", PREFIX)
        try:
            daemon.start()
            hypervisor, spec = driver(daemon, folder), machine(folder)
            hypervisor.start(spec, {})
            assert users(folder) == {"root"}
            until(lambda: READY in (folder / "consoles" / f"{spec.name}.log").read_bytes(), 20, "the guest's greeting")
            hypervisor.destroy(spec.name)
        finally:
            daemon.stop()


def test_the_watch_is_quiet_when_libvirtd_is_gone():
    with tempfile.TemporaryDirectory(prefix="pileus-test-") as name, structlog.testing.capture_logs() as said:
        folder = Path(name)
        daemon = Libvirtd(folder / "libvirt", PREFIX)
        changed = threading.Event()
        try:
            daemon.start()
            hypervisor = driver(daemon, folder)
            hypervisor.watch(changed.set)
            assert changed.wait(10)
            daemon.stop()
            time.sleep(7)  # three looks
            changed.clear()
            daemon.start()
            assert changed.wait(10), "it watches the new libvirtd"
        finally:
            daemon.stop()
        hypervisor.close()
    told = [entry["event"] for entry in said if "events of libvirt" in entry["event"]]
    assert told == ["events of libvirt cannot be watched; trying again", "events of libvirt are watched again"]
    assert "libvirt-watch" not in {thread.name for thread in threading.enumerate()}


def test_folders_for_libvirt_are_given_back(tmp_path: Path):
    ours, used, theirs = (tmp_path / name for name in ("ours", "used", "theirs"))
    theirs.mkdir()
    for folder in (ours, used, theirs):
        libvirtd.provide(folder)
    (used / "file").touch()
    script = f"mount -t tmpfs none {ours} && echo ready && exec sleep 60"
    other = subprocess.Popen(["unshare", "--mount", "sh", "-c", script], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        other.stdout.readline()
        libvirtd.give_back(ours)
        assert ours.exists(), "another process has something mounted there"
    finally:
        other.kill()
        other.communicate()
    for folder in (ours, used, theirs):
        libvirtd.give_back(folder)
    assert [folder.exists() for folder in (ours, used, theirs)] == [False, True, True]


def test_long_folder_is_reached_through_a_link(tmp_path: Path):
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    daemon = Libvirtd(deep / "libvirt", PREFIX)
    assert len(str(daemon.socket())) < 100
    daemon.stop()
    assert not Path(f"/run/pileus-{PREFIX}-libvirt").exists()


def test_probe_guest_runs_by_emulation():
    """The proof itself works; by /dev/kvm it is tried only where the CPU claims to virtualise."""
    assert probe.guest_runs("tcg")


def test_accelerator_without_cpu_support():
    flags = Path("/proc/cpuinfo").read_text()
    if " vmx " in flags or " svm " in flags:
        pytest.skip("this CPU virtualises")
    assert probe.accelerator("auto") == "tcg"
    assert probe.accelerator("kvm") == "kvm"


def test_libvirtd_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(libvirtd, "_OWN_MOUNTS", ("unshare", "--mount", "--wd", "/nowhere", "--"))
    begin = time.monotonic()
    with pytest.raises(RuntimeError, match=r"libvirtd ended with 1: unshare: .*/nowhere"):
        Libvirtd(tmp_path / "libvirt", PREFIX).start()
    assert time.monotonic() - begin < 10


def test_a_process_that_used_libvirt_ends_well_when_libvirt_ends_with_it(tmp_path: Path) -> None:
    daemon = Libvirtd(tmp_path / "libvirt", PREFIX)
    daemon.start()
    command = [sys.executable, "-c", LINGERING, daemon.uri()]
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE)) for _ in range(6)]
        try:
            for child in children:
                assert child.stdout is not None
                assert child.stdout.readline() == b"used\n"
            time.sleep(0.3)  # Python has ended, the processes linger
        finally:
            daemon.stop()
    assert [child.returncode for child in children] == [0] * 6
