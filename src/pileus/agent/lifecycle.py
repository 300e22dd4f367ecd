"""How an agent runs, ends, and is torn down: `pileus agent run` and `pileus agent teardown`."""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import os
import signal
import threading
import time
from collections.abc import Generator
from pathlib import Path

import msgspec
import structlog

from pileus.agent import libvirtd, machines, probe, server
from pileus.agent.certificate import HostCertificate
from pileus.agent.context import AgentContext, PublicNetwork
from pileus.agent.fetch import Fetcher
from pileus.agent.journal import RETENTION_SECONDS, Journal
from pileus.agent.libvirtd import Libvirtd
from pileus.agent.linux import cpu_limits
from pileus.agent.linux.probe import cpu_mhz
from pileus.agent.management import Management, host_context
from pileus.agent.operations import host, machine, network, pool, router, volume
from pileus.agent.report import Reporter
from pileus.agent.runner import Runner
from pileus.agent.settings import Folder, Settings
from pileus.drivers.hypervisors.base import HypervisorError
from pileus.drivers.hypervisors.libvirt import LibvirtHypervisor

log = structlog.get_logger(__name__)

OPERATIONS = (host, machine, network, pool, router, volume)  # importing them has registered their kinds
ACPI_SECONDS = 10.0  # that guests have to shut down in a teardown
_AGENT_END_SECONDS = 30.0
_ending = threading.Event()


class AlreadyRunningError(Exception):
    """Another agent works on the same folder."""


def run(folder: Folder) -> None:
    """Run the agent until SIGTERM; guests and routers go on after it."""
    signal.signal(signal.SIGTERM, _ended)  # uvicorn raises its signal again when it has ended
    with _only_agent(folder):
        settings = folder.load()
        own = own_libvirtd(folder, settings)
        context = make_context(folder, settings, own)
        certificate = context.certificate = HostCertificate(folder.keys)
        certificate.recover()
        _restore(folder, context)
        journal = Journal(folder.path / "journal.db")
        journal.prune(time.time() - RETENTION_SECONDS)
        runner = Runner(context, journal)
        runner.recover()
        management = Management(folder, settings, certificate)
        service = server.serve(runner, settings.address, settings.port, folder.keys)
        tls = service.config.ssl
        certificate.on_change(lambda: tls and tls.load_cert_chain(folder.keys / "agent.crt", folder.keys / "agent.key"))
        reporter = Reporter(context, management, settings.report_interval)
        reporter.start()
        if context.hypervisor is not None:
            context.hypervisor.watch(reporter.poke)
        log.info("agent is ready", host=settings.host, address=settings.address, port=settings.port)
        try:
            if not _ending.is_set():  # told to end while it was starting
                service.run()
        finally:
            log.info("agent is stopping; guests and routers go on")
            runner.close()
            reporter.stop()
            management.close()
            journal.close()
            if context.hypervisor is not None:
                context.hypervisor.close()
            if own is not None:
                own.release()


def teardown(folder: Folder) -> None:
    """Shut down this cloud's guests on the host and remove its routers, bridges and its libvirtd.

    What should run is remembered: the next `run` brings it back.
    """
    if not folder.settings.exists():
        log.info("no agent was enrolled here: nothing to tear down", folder=str(folder.path))
        return
    _end_agent(folder)
    with _only_agent(folder):
        settings = folder.load()
        own = _libvirtd(folder, settings)
        shared = not own.exists
        if own.exists or libvirtd.answers(libvirtd.SYSTEM_SOCKET):
            if not shared:
                own.start()
            context = make_context(folder, settings, None if shared else own)
            _stop_machines(context, up=_same_boot(folder), forget=shared)
        else:
            context = AgentContext(data=folder.path, prefix=settings.prefix, host=settings.host)
        own.stop()
        network.teardown(context)
        cpu_limits.remove(settings.prefix)
        (folder.path / "boot").unlink(missing_ok=True)
        log.info("agent is torn down", folder=str(folder.path))


def own_libvirtd(folder: Folder, settings: Settings) -> Libvirtd | None:
    """Start the agent's own libvirtd where none runs (or where it had one before); None = use the system's."""
    own = _libvirtd(folder, settings)
    if not own.exists and libvirtd.answers(libvirtd.SYSTEM_SOCKET):
        log.info("using the libvirtd of this host", socket=str(libvirtd.SYSTEM_SOCKET))
        return None
    own.start()
    own.supervise()
    return own


def _libvirtd(folder: Folder, settings: Settings) -> Libvirtd:
    return Libvirtd(folder.path / "libvirt", settings.prefix, kvm=settings.accelerator_found == "kvm")


def make_context(folder: Folder, settings: Settings, own: Libvirtd | None) -> AgentContext:
    """Put together what operations work with."""
    found = settings.accelerator_found or "tcg"
    hypervisor = LibvirtHypervisor(
        own.uri if own is not None else lambda: "qemu:///system",
        cloud=settings.host,
        prefix=settings.prefix,
        consoles=folder.path / "consoles",
        accelerator=found,
        shared=own is None,
        cpu_mhz=cpu_mhz(),
    )
    version = hypervisor.version()
    return AgentContext(
        data=folder.path,
        prefix=settings.prefix,
        host=settings.host,
        tunnel_address=settings.tunnel_address,
        public=PublicNetwork(addresses=settings.public, interface=settings.public_interface),
        uplink=settings.uplink,
        hypervisor=hypervisor,
        fetch=Fetcher(lambda: host_context(folder.keys)),
        facts=lambda: probe.gather(settings, found, version),
    )


def _restore(folder: Folder, context: AgentContext) -> None:
    """Bring the network back, and the machines that a reboot or a teardown took, or what took the agent too."""
    network.restore(context)
    if _same_boot(folder):
        if context.hypervisor is not None:
            states = context.hypervisor.list()
            machine.note_power_off(context, [state for state in states if state.power == "off"])
            if any(state.power == "crashed" for state in states):
                machine.restore(context)
        return
    pool.sweep(context.data)
    machine.restore(context)
    (folder.path / "boot").write_text(probe.boot_id())


def _same_boot(folder: Folder) -> bool:
    """Tell whether the machines were brought up already since the host booted and since the last teardown."""
    marker = folder.path / "boot"
    return marker.exists() and marker.read_text() == probe.boot_id()


def _stop_machines(context: AgentContext, *, up: bool, forget: bool) -> None:
    """Shut all guests down in parallel, remembering that they ran; `forget` also undefines them.

    Only when they were `up` does one that is off mean that its guest shut it down.
    """
    hypervisor = context.hypervisor
    if hypervisor is None:
        return
    states = hypervisor.list()
    if up:
        machine.note_power_off(context, [state for state in states if state.power == "off"])

    def stop(name: str) -> None:
        try:
            hypervisor.stop(name, force=False, timeout=ACPI_SECONDS)
            if forget:
                hypervisor.destroy(name)
        except HypervisorError as error:
            log.error("a machine does not stop", machine=name, why=error.message, detail=error.detail)  # noqa: TRY400

    with concurrent.futures.ThreadPoolExecutor(16) as workers:
        list(workers.map(stop, [state.name for state in states]))
    running = [kept.spec.name for kept in machines.all_kept(context.data) if kept.running]
    log.info("guests are shut down", machines=len(states), will_return=running)


@contextlib.contextmanager
def _only_agent(folder: Folder) -> Generator[None]:
    """Hold the folder's lock, with our process id in it."""
    folder.make()
    descriptor = os.open(folder.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AlreadyRunningError(f"an agent already runs on {folder.path}") from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, msgspec.json.encode(os.getpid()))
        yield
    finally:
        os.close(descriptor)


def _end_agent(folder: Folder) -> None:
    """End the agent that runs on the folder, if one does."""
    lock = folder.path / "lock"
    end = time.monotonic() + _AGENT_END_SECONDS
    while lock.exists() and time.monotonic() < end:
        with lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                pid = msgspec.json.decode(file.read() or b"0", type=int)
            else:
                return
        if pid and str(folder.path.parent).encode() in _command(pid):
            os.kill(pid, signal.SIGTERM)
        time.sleep(0.5)


def _ended(*_: object) -> None:
    """Take the signal: before the service runs it is remembered, afterwards it has ended the service already."""
    _ending.set()


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
