"""Our own supervisor with real processes; systemd's units as text."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from pileus.client.daemon import rotate
from pileus.client.folder import Folder
from pileus.client.supervisor import leftovers
from pileus.client.supervisor.own import OwnSupervisor
from pileus.client.supervisor.service import Service, command_line
from pileus.client.supervisor.systemd import quoted, unit_text

STAYS = "import sys, time; print('started', flush=True); time.sleep(600)"


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "data")


@pytest.fixture
def supervisor(folder):
    found = OwnSupervisor(folder)
    yield found
    found.stop()


def service(folder, name="server", code=STAYS, **more):
    return Service(name=name, argv=[sys.executable, "-c", code, "pileus.test", "--data", str(folder.data)], **more)


def wait_until(condition, limit=10.0):
    until = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


def running(supervisor, name="server"):
    return next((state.pid for state in supervisor.states() if state.name == name and state.running), 0)


def alive(pid):
    """Tell whether a process runs; one that ended and that nobody has asked about yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_services_start_log_to_files_and_stop(folder, supervisor):
    assert supervisor.ensure([service(folder), service(folder, "agent")])
    wait_until(lambda: running(supervisor) and running(supervisor, "agent"))
    wait_until(lambda: "started" in (folder.logs / "server.log").read_text())
    found = [process.pid for process in leftovers.find(folder.data)]
    assert {running(supervisor), running(supervisor, "agent"), supervisor.pid} <= set(found)
    supervisor.stop()
    assert supervisor.pid == 0
    assert not any(alive(pid) for pid in found)
    assert not any(state.running for state in supervisor.states())


def test_again_changes_nothing_and_a_changed_service_alone_is_restarted(folder, supervisor):
    supervisor.ensure([service(folder), service(folder, "agent")])
    wait_until(lambda: running(supervisor) and running(supervisor, "agent"))
    server, agent = running(supervisor), running(supervisor, "agent")
    assert not supervisor.ensure([service(folder), service(folder, "agent")])
    assert supervisor.ensure([service(folder, revision="2"), service(folder, "agent")])
    wait_until(lambda: running(supervisor) not in (0, server))
    assert running(supervisor, "agent") == agent
    assert not alive(server)


def test_what_is_killed_comes_back(folder, supervisor):
    supervisor.ensure([service(folder)])
    wait_until(lambda: running(supervisor))
    first = running(supervisor)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: running(supervisor) not in (0, first))
    assert supervisor.states()[0].restarts == 1


def test_services_end_when_the_supervisor_is_killed(folder, supervisor):
    supervisor.ensure([service(folder)])
    wait_until(lambda: running(supervisor) and "started" in (folder.logs / "server.log").read_text())
    child = running(supervisor)
    os.kill(supervisor.pid, signal.SIGKILL)
    wait_until(lambda: not alive(child))
    assert supervisor.states()[0].running is False
    assert supervisor.ensure([service(folder)])
    wait_until(lambda: running(supervisor) not in (0, child))


def test_what_ignores_the_request_to_end_is_killed(folder, supervisor):
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + STAYS
    supervisor.ensure([service(folder, code=stubborn, stop_seconds=0.3)])
    wait_until(lambda: (folder.logs / "server.log").exists() and "started" in (folder.logs / "server.log").read_text())
    child = running(supervisor)
    supervisor.stop()
    assert not alive(child)
    assert "killed" in (folder.logs / "supervisor.log").read_text()


@pytest.mark.root
def test_a_service_of_another_user_has_his_rights_only(folder, supervisor):
    code = f"""
import os
try:
    reads = bool(open("/etc/shadow").read(1))
except PermissionError:
    reads = False
print(os.getuid(), reads, flush=True)
{STAYS}
"""
    supervisor.ensure(
        [
            service(folder, "plain", code, user="nobody"),
            service(folder, "reader", code, user="nobody", reads_everything=True),
        ]
    )
    for name, reads in (("plain", "False"), ("reader", "True")):
        log = folder.logs / f"{name}.log"
        wait_until(lambda log=log: log.exists() and "started" in log.read_text())
        assert log.read_text().splitlines()[0] == f"65534 {reads}"


def test_a_large_log_is_set_aside_and_its_writer_goes_on(tmp_path):
    log = tmp_path / "server.log"
    with log.open("ab", buffering=0) as writer:
        for number in range(5):
            writer.write(b"%d" % number * 100)
            rotate(log, largest=50)
        writer.write(b"after")
    assert log.read_bytes() == b"after"
    assert (tmp_path / "server.log.1").read_bytes() == b"4" * 100
    assert (tmp_path / "server.log.3").read_bytes() == b"2" * 100
    assert not (tmp_path / "server.log.4").exists()


def test_the_unit_of_a_service(folder):
    found = unit_text(Service(name="server", argv=["/opt/a b/python", "x%y"], user="nobody"), folder)
    assert 'ExecStart="/opt/a b/python" "x%%y"\n' in found
    assert "User=nobody\n" in found
    assert "KillMode=process\n" in found
    assert f"StandardOutput=append:{folder.logs}/server.log\n" in found
    assert quoted("plain") == "plain"
    closed = unit_text(
        Service(name="server", argv=["/root/clone/python"], user="nobody", reads_everything=True), folder
    )
    assert "ExecStart=/usr/bin/setpriv --no-new-privs -- /root/clone/python\n" in closed


def test_a_command_line_ends_with_the_service(folder):
    found = command_line(service(folder, user="nobody"))
    assert found[0] == "setpriv"
    assert "--no-new-privs" in found
    assert found[found.index("--") + 1] == sys.executable


@pytest.mark.parametrize(
    ("argv", "ours"),
    [
        (["python", "-P", "-m", "pileus.client.main", "server", "--data", "/d/one"], True),
        (["/usr/sbin/dnsmasq", "--conf-file=/d/one/agent/routers/r-1/dnsmasq.conf"], True),
        (["/usr/bin/qemu-system-x86_64", "-blockdev", "driver=file,filename=/d/one/agent/pool/x,node-name=a"], True),
        (["python", "-P", "-m", "pileus.client.main", "server", "--data", "/d/one-more"], False),
        (["tail", "-f", "/d/one/logs/server.log"], False),
        (["bash", "-c", "pileus up --data /d/one"], False),
        (["/d/one"], False),
    ],
)
def test_whose_process_it_is(argv, ours, tmp_path):
    assert leftovers.is_ours(argv, Path("/d/one")) is ours
