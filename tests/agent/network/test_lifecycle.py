"""A router's life on a host: changed from outside, stopped, an agent that restarts, a host that reboots."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from pileus.agent.operations import network as networks
from pileus.agent.operations import router
from pileus.agent.registry import OperationError
from pileus.wire.router import FirewallRule, PortForward, RouterReference, RouterSpec
from tests.support import network
from tests.support.network import PREFIX, Client, Lab, eventually, no_progress

NAMESPACE = f"{PREFIX}-r-4-VM"
RUN = Path("/run") / f"pileus-{PREFIX}"


def inside(*arguments: str) -> None:
    network.run(["ip", "netns", "exec", NAMESPACE, *arguments])


def kill(pattern: str) -> None:
    found = network.run(["pgrep", "-f", pattern]).split()
    for pid in found:
        os.kill(int(pid), signal.SIGKILL)
    assert eventually(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() and running(pid) for pid in found))


def running(pid: str) -> bool:
    return bool(Path(f"/proc/{pid}/cmdline").read_bytes())


def leg(role: str) -> str:
    links = network.run(["ip", "-o", "link"]).split()
    return next(name.split("@")[0] for name in links if name.startswith(f"{PREFIX}{role}"))


DAMAGES: dict[str, Callable[[Lab], object]] = {
    "rules deleted": lambda _: inside("nft", "flush", "ruleset"),
    "a rule added": lambda _: inside("nft", "insert", "rule", "ip", "pileus", "forward", "accept"),
    "a table added": lambda _: inside("nft", "add", "table", "ip", "other"),
    "address deleted": lambda _: inside("ip", "addr", "del", "203.0.113.10/24", "dev", "public"),
    "address added": lambda _: inside("ip", "addr", "add", "203.0.113.99/24", "dev", "public"),
    "route deleted": lambda _: inside("ip", "route", "del", "default"),
    "link down": lambda _: inside("ip", "link", "set", "guest", "down"),
    "forwarding off": lambda _: inside("sysctl", "-qw", "net.ipv4.ip_forward=0"),
    "cable unplugged": lambda _: network.run(["ip", "link", "set", leg("rg"), "nomaster"]),
    "cable deleted": lambda _: network.run(["ip", "link", "del", leg("rp")]),
    "dnsmasq killed": lambda lab: kill(f"dnsmasq --conf-file={lab.context.data}"),
    "namespace deleted": lambda _: network.run(["ip", "netns", "del", NAMESPACE]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_and_repaired(
    lab: Lab, spec: RouterSpec, web: Client, internet: Client, tmp_path: Path, damage: str
) -> None:
    forward = PortForward(
        address="203.0.113.10", protocol="tcp", start=80, end=80, guest_address="10.1.1.5", guest_start=80, guest_end=80
    )
    lab.apply(forwards=[forward], firewall=[FirewallRule(address="203.0.113.10", protocol="tcp", start=80, end=80)])
    assert [state.drift for state in networks.look_after(lab.context)] == [False]
    DAMAGES[damage](lab)
    (state,) = networks.look_after(lab.context)
    assert (state.drift, state.running) == (True, True)
    assert [state.drift for state in networks.look_after(lab.context)] == [False]
    assert internet.ask("203.0.113.10", 80) == "web 203.0.113.200"
    assert web.ask("203.0.113.200", 80) == "net 203.0.113.10"
    assert "10.1.1.6" in web.run(["busybox", "nslookup", "db.cs1.example", "10.1.1.1"])
    assert web.http("/latest/meta-data/local-hostname") == (200, b"web")


def test_a_killed_metadata_process_is_started_again(lab: Lab, spec: RouterSpec, web: Client) -> None:
    assert web.http("/", port=8080, wish="saved_password")[1] == b"saved_password"
    kill(f"pileus.agent.metadata_server --state {lab.context.data}")
    networks.look_after(lab.context)
    assert web.http("/latest/meta-data/local-hostname") == (200, b"web")
    assert web.http("/", port=8080, wish="send_my_password")[1] == b"saved_password", "it remembers what was taken"


def test_host_rules_and_bridges_are_repaired(lab: Lab, spec: RouterSpec, web: Client, internet: Client) -> None:
    network.run(["nft", "flush", "table", "inet", f"pileus_{PREFIX}"])
    network.run(["ip", "link", "set", f"{PREFIX}pub", "down"])
    network.run(["ip", "link", "set", f"{PREFIX}gx64", "down"])
    networks.look_after(lab.context)
    assert "drop" in network.run(["nft", "list", "table", "inet", f"pileus_{PREFIX}"])
    assert web.ask("203.0.113.200", 80) == "net 203.0.113.10"


def test_an_older_generation_is_refused(lab: Lab, spec: RouterSpec) -> None:
    older = msgspec.structs.replace(spec, generation=spec.generation - 1)
    with pytest.raises(OperationError) as caught:
        router.apply(lab.context, older, no_progress)
    assert caught.value.code == "stale"
    assert router.apply(lab.context, spec, no_progress).generation == spec.generation, "the same one again is fine"


def test_an_unsound_specification_changes_nothing(lab: Lab, spec: RouterSpec, web: Client, internet: Client) -> None:
    wrong = msgspec.structs.replace(
        spec, generation=spec.generation + 1, firewall=[FirewallRule(address="198.51.100.1", protocol="tcp")]
    )
    with pytest.raises(OperationError) as caught:
        router.apply(lab.context, wrong, no_progress)
    assert caught.value.code == "invalid-spec"
    assert [state.generation for state in router.list_routers(lab.context)] == [spec.generation]
    assert web.ask("203.0.113.200", 80) == "net 203.0.113.10"


def test_routers_outlive_the_agent(lab: Lab, spec: RouterSpec, web: Client, internet: Client) -> None:
    """Another process, as a restarted agent is one, finds all right and touches nothing."""
    before = pids(lab)
    program = (
        "import sys; from pathlib import Path\n"
        "from pileus.agent.context import AgentContext\n"
        "from pileus.agent.operations import network\n"
        "from pileus.wire.segments import PublicNetwork\n"
        "context = AgentContext(data=Path(sys.argv[1]), prefix=sys.argv[2],\n"
        "                       public=PublicNetwork(addresses=['203.0.113.1/24']))\n"
        "print([(state.name, state.running, state.drift) for state in network.look_after(context)])\n"
    )
    arguments = [sys.executable, "-c", program, str(lab.context.data), PREFIX]
    said = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True).stdout
    assert said.strip() == "[('r-4-VM', True, False)]"
    assert pids(lab) == before
    assert web.ask("203.0.113.200", 80) == "net 203.0.113.10"


def pids(lab: Lab) -> list[str]:
    return network.run(["pgrep", "-f", str(lab.context.data)]).split()


def test_a_stopped_router_leaves_nothing_and_stays_stopped(lab: Lab, spec: RouterSpec, web: Client) -> None:
    state = router.stop(lab.context, RouterReference(name=spec.name), no_progress)
    assert state is not None
    assert not state.running
    assert NAMESPACE not in network.run(["ip", "netns"])
    assert f"{PREFIX}rg" not in network.run(["ip", "link"])
    assert f"dnsmasq --conf-file={lab.context.data}" not in network.run(["ps", "-eo", "args"])
    assert [(state.running, state.drift) for state in networks.look_after(lab.context)] == [(False, False)]
    assert router.stop(lab.context, RouterReference(name=spec.name), no_progress) == state, "again is fine"
    assert lab.apply().running


def test_the_same_routers_come_back_after_a_reboot(lab: Lab, spec: RouterSpec, internet: Client) -> None:
    internet.run(["ip", "link", "set", "eth0", "down"])
    networks.teardown(lab.context)
    leaves_nothing(lab)
    networks.restore(lab.context)
    assert [(state.name, state.running) for state in router.list_routers(lab.context)] == [("r-4-VM", True)]


def test_destroy_forgets_and_teardown_leaves_nothing(lab: Lab, spec: RouterSpec) -> None:
    router.destroy(lab.context, RouterReference(name=spec.name), no_progress)
    assert router.list_routers(lab.context) == []
    router.destroy(lab.context, RouterReference(name=spec.name), no_progress)
    networks.teardown(lab.context)
    leaves_nothing(lab)
    networks.teardown(lab.context)


def leaves_nothing(lab: Lab) -> None:
    assert PREFIX + "-" not in network.run(["ip", "netns"])
    links = [line.split(": ")[1].split("@")[0] for line in network.run(["ip", "-o", "link"]).splitlines()]
    assert [name for name in links if name.startswith(PREFIX)] == []
    assert "unreachable" not in network.run(["ip", "route"])
    assert network.run(["nft", "list", "tables"]) == ""
    assert str(lab.context.data) not in network.run(["ps", "-eo", "args"])
    assert not RUN.exists()
