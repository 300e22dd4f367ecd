"""`pileus up --simulator`: no root, no packages, a few seconds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import pytest

from pileus.client.supervisor import leftovers
from tests.support.clouds import PILEUS, cloud, pileus


@pytest.fixture(scope="module")
def simulated():
    with cloud("--simulator", "--hosts", "4") as found:
        found.up()
        yield found


def test_the_object_at_the_end_is_enough_to_go_on(simulated):
    assert {"url", "apikey", "secretkey", "zoneid", "networkid", "templateid", "password"} <= simulated.facts.keys()
    zone = simulated.api("listZones", id=simulated.facts["zoneid"])["zone"][0]
    assert (zone["name"], zone["allocationstate"], zone["networktype"]) == ("zone1", "Enabled", "Advanced")


def test_the_hosts_are_many_and_large(simulated):
    hosts = simulated.api("listHosts", type="Routing")["host"]
    assert len(hosts) == 4
    assert all((host["state"], host["cpunumber"]) == ("Up", 128) for host in hosts)


def test_ranges_are_wide(simulated):
    (public,) = simulated.api("listVlanIpRanges")["vlaniprange"]
    assert (public["startip"], public["endip"]) == ("198.18.0.2", "198.18.255.254")


def test_a_machine_can_be_deployed(simulated):
    offering = simulated.api("listServiceOfferings")["serviceoffering"][0]
    made = simulated.api(
        "deployVirtualMachine", zoneid=simulated.facts["zoneid"], templateid=simulated.facts["templateid"],
        serviceofferingid=offering["id"], networkids=simulated.facts["networkid"],
    )  # fmt: skip
    assert made["state"] == "Running"
    assert made["nic"][0]["ipaddress"].startswith("10.1.1.")


def test_again_changes_nothing(simulated):
    before = simulated.facts
    pid = simulated.pid("server")
    again = simulated.up()
    assert {name: again[name] for name in ("zoneid", "networkid", "templateid", "apikey")} == {
        name: before[name] for name in ("zoneid", "networkid", "templateid", "apikey")
    }
    assert "password" not in again
    assert simulated.pid("server") == pid


def test_keys_are_for_the_owner_only(simulated):
    assert (simulated.data / "admin.json").stat().st_mode & 0o777 == 0o600
    assert (simulated.data / "server").stat().st_mode & 0o777 == 0o700


def test_a_killed_server_comes_back(simulated):
    first = simulated.pid("server")
    os.kill(first, signal.SIGKILL)
    until = time.monotonic() + 30
    while not simulated.status()["healthy"]:
        assert time.monotonic() < until, simulated.logs()
        time.sleep(0.1)
    assert simulated.pid("server") != first


def test_errors_go_to_stderr_with_their_code(simulated):
    assert "error 431" in pileus("api", "listZones", "id=nonsense", "page=1", "--data", simulated.data, fails=True)


def test_with_json_a_refusal_is_an_object_too(simulated):
    command = [str(PILEUS), "api", "listZones", "id=nonsense", "--data", str(simulated.data), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    refusal = json.loads(done.stdout)
    assert refusal["errorcode"] == 431
    assert "nonsense" in refusal["errortext"]


def test_down_leaves_no_process_and_up_brings_the_same_cloud_back(simulated):
    machines = simulated.api("listVirtualMachines", listall="true")
    simulated.down()
    assert leftovers.find(simulated.data) == []
    assert simulated.status()["healthy"] is False
    simulated.up()
    assert simulated.api("listVirtualMachines", listall="true") == machines
