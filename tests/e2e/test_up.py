"""`pileus up` for real: a machine behind a virtual router, on this machine, with nothing let out."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from pileus.client.supervisor import leftovers
from tests.support.clouds import cloud

pytestmark = [pytest.mark.e2e, pytest.mark.root, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def real():
    with cloud("--uplink", "none") as found:
        try:
            found.up()
        except AssertionError as error:
            pytest.fail(f"{error}\n{found.logs()}")
        yield found


def eventually(condition, limit=60.0):
    until = time.monotonic() + limit
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True


def names_of(*command):
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
    return [item.get("ifname") or item.get("name") for item in json.loads(found or "[]")]


def traces(real, prefix):
    """Return what of a cloud is on this machine: processes, links, namespaces, mounts."""
    links = [name for name in names_of("ip", "-j", "link") if name.startswith(prefix)]
    namespaces = [name for name in names_of("ip", "-j", "netns", "list") if name.startswith(prefix)]
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if str(real.data) in line]
    return [*leftovers.find(real.data), *links, *namespaces, *mounts]


def test_the_page_comes_through_the_public_address(real):
    assert "<h1>first</h1>" in real.page()
    assert real.facts["page"].startswith("http://203.0.113.") or real.facts["page"].startswith("http://198.")


def test_the_console_tells_of_the_guest_s_boot(real):
    console = Path(real.facts["console"])

    def told(line):
        return line in console.read_text(errors="replace")

    assert eventually(lambda: told("pileus: first has the address 10.1.1."))
    assert eventually(lambda: told("pileus: first is ready"))


def test_the_server_runs_as_an_ordinary_user(real):
    owner = Path(f"/proc/{real.pid('server')}").stat().st_uid
    assert pwd.getpwuid(owner).pw_name == "pileus"
    assert Path(f"/proc/{real.pid('agent')}").stat().st_uid == 0


def test_again_changes_nothing(real):
    pids = real.pid("server"), real.pid("agent")
    before = real.facts
    again = real.up()
    assert {name: again[name] for name in again if name.endswith("id")} == {
        name: before[name] for name in again if name.endswith("id")
    }
    assert (real.pid("server"), real.pid("agent")) == pids


def test_what_the_machine_uses_is_measured(real):
    real.api("updateConfiguration", name="host.stats.interval", value="1000")
    for _ in range(100):  # questions of a kilobyte, answers of less
        urllib.request.urlopen(f"{real.facts['page']}?{'x' * 1000}", timeout=10).read()

    def numbers():
        return real.api("listVirtualMachinesMetrics", listall=True)["virtualmachine"][0]

    assert eventually(lambda: numbers().get("networkkbsread", 0) > 100, 90), numbers()
    found = numbers()
    assert 0 < found["networkkbswrite"] < found["networkkbsread"]
    assert found["diskioread"] > 0
    assert found["cpuused"].endswith("%")
    (on,) = real.api("listHostsMetrics")["host"]
    assert 0 < float(on["cpuused"].rstrip("%")) <= 100


def test_without_the_firewall_rule_the_page_is_dropped(real):
    address = real.facts["publicipid"]
    (rule,) = real.api("listFirewallRules", ipaddressid=address)["firewallrule"]
    real.api("deleteFirewallRule", id=rule["id"])
    assert real.page(limit=1) == ""
    real.api("createFirewallRule", ipaddressid=address, protocol="tcp", startport=80, endport=80, cidrlist="0.0.0.0/0")
    assert eventually(lambda: "first" in real.page(limit=1), 5)


@pytest.mark.parametrize("service", ["server", "agent"])
def test_the_page_stays_while_a_service_is_killed_and_comes_back(real, service):
    first = real.pid(service)
    os.kill(first, signal.SIGKILL)
    assert "first" in real.page()
    assert eventually(lambda: real.pid(service) not in (0, first) and real.status()["healthy"]), real.logs()
    assert "first" in real.page()


def test_down_leaves_nothing_and_up_brings_the_same_cloud_back(real):
    prefix = real.status()["prefix"]
    machine = real.facts["virtualmachineid"]
    real.down()
    assert traces(real, prefix) == []
    again = real.up()
    assert again["virtualmachineid"] == machine
    assert "first" in real.page()
