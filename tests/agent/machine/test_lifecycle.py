"""The whole agent by its command line: enrol, run, a guest, kill -9, teardown, and the same cloud back."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pileus.agent.linux import cpu_limits
from pileus.agent.linux.probe import cpu_mhz
from pileus.core.channel import Address, HttpsChannel
from pileus.core.mtls import client_context
from pileus.dataplane import names
from pileus.wire.machines import Disk, MachineSpec, Nic
from pileus.wire.operations import Answer, Operation
from pileus.wire.segments import Segment
from pileus.wire.storage import Image, Pool, VolumeResize, VolumeSpec
from tests.support.guest import READY, write_disk
from tests.support.management import ManagementServer, free_port
from tests.support.waiting import until

pytestmark = [pytest.mark.root, pytest.mark.e2e, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

PREFIX = "tla"


class Host:
    """An enrolled agent in a process of its own."""

    def __init__(self, management: ManagementServer, data: Path) -> None:
        self.management = management
        self.data = data
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.fence = 0
        self.uuid = ""

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "pileus.agent.main", *arguments, "--data", str(self.data)]

    def enrol(self, token: str) -> subprocess.CompletedProcess[str]:
        more = ["--server", self.management.url, "--token", token, "--port", str(self.port)]
        more += ["--prefix", PREFIX, "--report-interval", "1", "--name", "host-1"]
        done = subprocess.run(self.command("enrol", *more), capture_output=True, text=True, timeout=60, check=False)
        self.uuid = done.stdout.strip()
        return done

    def start(self) -> None:
        self.process = subprocess.Popen(self.command("run"))

    def end(self, number: signal.Signals = signal.SIGTERM) -> int | None:
        if self.process is None:
            return None
        self.process.send_signal(number)
        code = self.process.wait(40)
        self.process = None
        return code

    def kill_everything(self) -> None:
        """Kill the agent and all that works for it at once, as a power cut would."""
        for number in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        if self.process is not None:
            self.process.wait(10)
            self.process = None

    def teardown(self) -> None:
        subprocess.run(self.command("teardown"), check=True, timeout=90)

    def do(self, kind: str, thing: str, arguments: Any, seconds: float = 60) -> Answer:
        self.fence += 1
        operation = Operation(
            id=str(uuid.uuid4()),
            kind=kind,
            object=thing,
            fence=self.fence,
            deadline=time.time() + seconds,
            arguments=msgspec.to_builtins(arguments),
        )

        async def go() -> Answer:
            channel = HttpsChannel(client_context(*self.management.keys()))
            try:
                return await channel.deliver(Address(self.uuid, f"https://127.0.0.1:{self.port}"), operation)
            finally:
                await channel.close()

        return asyncio.run(go())

    def pids(self) -> list[int]:
        """Return the processes whose command line has the data folder."""
        found: list[int] = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.fsencode(self.data) in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
        return found

    def processes(self) -> set[str]:
        """Name the programs whose command line has the data folder."""
        found: set[str] = set()
        for number in self.pids():
            with contextlib.suppress(OSError):
                found.add(Path(f"/proc/{number}/comm").read_text().strip())
        return found


def links() -> set[str]:
    return {file.name for file in Path("/sys/class/net").iterdir() if file.name.startswith(PREFIX)}


def sweep() -> None:
    """Remove links that an earlier run left behind."""
    for name in links():
        subprocess.run(["ip", "link", "delete", name], check=False, timeout=10)


@pytest.fixture
def host() -> Iterator[Host]:
    sweep()
    with tempfile.TemporaryDirectory(prefix="pileus-test-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        (root / "management").mkdir(mode=0o700)
        management = ManagementServer(root / "management")
        management.start()
        made = Host(management, root / "cloud")
        try:
            yield made
        finally:
            made.end()
            made.teardown()
            management.stop()


def test_enrolment_is_refused_without_a_good_token(host: Host):
    secret, _, fingerprint = host.management.token().partition(".")
    wrong = f"{secret}.{'0' * 64}"
    for token, why in ((wrong, "not the cloud"), (f"guess.{fingerprint}", "403"), ("rubbish", "looks like")):
        done = host.enrol(token)
        assert done.returncode == 1
        assert why in done.stderr
    assert host.management.hosts == {}
    token = f"{secret}.{fingerprint}"
    assert host.enrol(token).returncode == 0
    assert host.enrol(token).returncode == 1, "a token is good once"


def test_a_machine_through_restart_teardown_and_return(host: Host):
    management = host.management
    assert host.enrol(management.token()).returncode == 0
    host.start()
    until(lambda: management.reports, 30, "the first report")
    facts = management.reports[0].facts
    assert facts is not None
    assert facts.name == "host-1"
    assert {"machine.start", "volume.create", "router.apply", "host.facts"} <= set(facts.operations)

    pool = Pool(uuid=str(uuid.uuid4()), kind="directory", path=str(host.data / "agent" / "pool"))
    assert host.do("pool.attach", f"pool:{pool.uuid}", pool).state == "done"
    disk = write_disk(management.images / "tiny.raw")
    digest = hashlib.sha256(disk.read_bytes()).hexdigest()
    image = Image(
        uuid=str(uuid.uuid4()),
        url=f"{management.url}/images/tiny.raw",
        checksum="{SHA-256}" + "0" * 64,
        format="raw",
        size=disk.stat().st_size,
    )
    volume = VolumeSpec(uuid=str(uuid.uuid4()), pool=pool, size=2**20, image=image)
    wrong = host.do("volume.create", f"volume:{volume.uuid}", volume)
    assert wrong.failure is not None
    assert wrong.failure.code == "image-checksum"
    image = msgspec.structs.replace(image, checksum="{SHA-256}" + digest)
    volume = msgspec.structs.replace(volume, image=image)
    made = host.do("volume.create", f"volume:{volume.uuid}", volume)
    assert made.state == "done", made.failure

    nic = Nic(
        uuid=str(uuid.uuid4()),
        mac="02:00:4c:4f:4f:50",
        address="10.1.1.5",
        segment=Segment(kind="vxlan", tag=77),
        device=0,
        rate_mbit=100,
    )
    spec = MachineSpec(
        name="i-2-1-VM",
        uuid=str(uuid.uuid4()),
        cpus=1,
        cpu_mhz=round(0.6 * cpu_mhz()),
        cpu_limited=True,
        memory_mib=32,
        disks=[Disk(volume=volume.uuid, pool=pool.uuid, path=made.result["path"], device=0)],
        nics=[nic],
        generation=2,
    )
    thing = f"machine:{spec.uuid}"
    started = host.do("machine.start", thing, spec)
    assert started.state == "done", started.failure
    console = host.data / "agent" / "consoles" / f"{spec.name}.log"
    until(lambda: READY in console.read_bytes(), 20, "the guest's greeting")
    until(lambda: powers(management) == {spec.name: "on"}, 10, "the report of the running machine")
    tap, shaper = names.tap(PREFIX, nic.uuid), names.shaper(PREFIX, nic.uuid)
    assert {tap, shaper, names.guest_bridge(PREFIX, nic.segment)} <= links()
    assert "rate 100Mbit" in output("tc", "qdisc", "show", "dev", tap)
    assert f'"{tap}" . {nic.mac} . {nic.address}' in output("nft", "list", "table", "bridge", f"pileus_{PREFIX}")
    resize = VolumeResize(pool=pool, uuid=volume.uuid, size=2**22)
    grown = host.do("volume.resize", f"volume:{volume.uuid}", resize)
    assert grown.state == "done", grown.failure
    assert grown.result["size"] == 2**22
    stale = host.do("machine.start", thing, msgspec.structs.replace(spec, generation=1))
    assert stale.failure is not None
    assert stale.failure.code == "stale"

    qemu = pid_of(host.data)
    assert limited(qemu, spec) is cpu_limits.supported()
    host.end(signal.SIGKILL)
    keys = host.data / "agent" / "keys"
    certificate = (keys / "agent.crt").read_text()
    assert float((keys / "renew-after").read_text()) > time.time() + 86400
    (keys / "renew-after").write_text("0")
    host.start()
    answer = host.do("machine.list", thing, {})
    assert [machine["power"] for machine in answer.result["machines"]] == ["on"]
    until(lambda: (keys / "agent.crt").read_text() != certificate, 10, "the new certificate")
    until(lambda: float((keys / "renew-after").read_text()) > time.time() + 86400, 10, "its date")
    assert host.end() in (0, -signal.SIGTERM)
    assert pid_of(host.data) == qemu, "the guest was not touched"

    host.start()
    seen = len(management.reports)
    until(lambda: len(management.reports) > seen, 20, "a report")
    host.kill_everything()
    assert pid_of(host.data) == ""
    host.start()
    seen = len(management.reports)
    until(lambda: len(management.reports) > seen and powers(management) == {spec.name: "on"}, 40, "all back")
    killed, qemu = qemu, pid_of(host.data)
    assert qemu not in {"", killed}
    os.kill(int(qemu), signal.SIGKILL)
    until(lambda: powers(management) == {spec.name: "crashed"}, 10, "the report of the crash")
    seen = len(management.reports)
    until(lambda: len(management.reports) > seen + 1, 10, "two more reports")
    host.end()
    host.start()
    answer = host.do("machine.list", thing, {})
    assert [machine["power"] for machine in answer.result["machines"]] == ["crashed"], "who was told of it decides"
    assert host.do("machine.start", thing, spec).state == "done"
    host.end()

    host.teardown()
    host.teardown()  # twice is as good as once
    assert host.processes() == set()
    assert links() == set()
    assert f"pileus_{PREFIX}" not in output("nft", "list", "tables")
    assert str(host.data) not in Path("/proc/self/mountinfo").read_text()
    assert not list(Path("/sys/fs/cgroup").glob(f"**/pileus-{PREFIX}-*"))

    host.start()
    seen = len(management.reports)
    until(
        lambda: len(management.reports) > seen and powers(management) == {spec.name: "on"}, 40, "the machine's return"
    )
    assert pid_of(host.data) not in {"", qemu}
    assert "rate 100Mbit" in output("tc", "qdisc", "show", "dev", tap)
    assert limited(pid_of(host.data), spec) is cpu_limits.supported()
    assert host.do("machine.stop", thing, {"name": spec.name, "timeout": 20}).state == "done"
    until(lambda: powers(management) == {spec.name: "off"}, 10, "the report of the stopped machine")
    host.end()
    host.teardown()
    host.start()
    answer = host.do("machine.list", thing, {})
    assert [machine["power"] for machine in answer.result["machines"]] == ["off"], "it was stopped: it stays off"
    assert host.do("machine.destroy", thing, {"name": spec.name}).state == "done"
    assert links() == set()
    assert not console.exists()


def powers(management: ManagementServer) -> dict[str, str]:
    return {machine.name: machine.power for machine in management.reports[-1].machines}


def limited(pid: str, spec: MachineSpec) -> bool:
    return f"/pileus-{PREFIX}-{spec.name}" in Path(f"/proc/{pid}/cgroup").read_text()


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout


def pid_of(data: Path) -> str:
    command = ["pgrep", "-f", f"qemu-system-x86_64.*{data}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
