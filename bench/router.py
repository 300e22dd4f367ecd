"""Figures of the virtual router beside their bars: `name value unit bar`, one a line; needs root.

Everything happens in network namespaces of its own: a 'host', a guest and a server on the public bridge.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support import network
from tests.support.network import PREFIX, Client, Lab, no_progress

from bench._figures import finish, report
from pileus.agent.linux.setns import inside
from pileus.agent.operations import network as networks
from pileus.agent.operations import router
from pileus.dataplane import names
from pileus.wire.router import FirewallRule, GuestHost, PortForward, RouterReference

PUBLIC = "203.0.113.10"
INTERNET = "203.0.113.200"
RUNS = 9
TURNS = 20
BY_HAND = """
table ip byhand {
  chain prerouting { type nat hook prerouting priority dstnat; ip daddr 203.0.113.10 tcp dport 5201 dnat to 10.1.1.5 ; }
  chain postrouting { type nat hook postrouting priority srcnat; oifname "public" snat to 203.0.113.10 ; }
}
"""


def median(action: Callable[[int], object], runs: int = RUNS) -> float:
    """Return the median of the seconds that an action takes."""
    times: list[float] = []
    for number in range(runs):
        started = time.perf_counter()
        action(number)
        times.append(time.perf_counter() - started)
    return sorted(times)[runs // 2]


def rules(count: int) -> list[FirewallRule]:
    """Make rules as users have them: single ports, ranges, and sources."""
    return [
        FirewallRule(
            address=PUBLIC,
            protocol=("tcp", "udp")[number % 2],
            start=1000 + 20 * number,
            end=1000 + 20 * number + (number % 3) * 4,
            sources=["0.0.0.0/0"] if number % 4 else [f"198.51.{number % 250}.0/24"],
        )
        for number in range(count)
    ]


def rule_change(lab: Lab, internet: Client) -> None:
    """Measure from the operation's start until its answer, and prove that the rule has its effect by then."""
    many = rules(1000)
    forward = PortForward(
        address=PUBLIC, protocol="tcp", start=80, end=80, guest_address="10.1.1.5", guest_start=80, guest_end=80
    )
    lab.apply(firewall=many, forwards=[forward])
    opening = FirewallRule(address=PUBLIC, protocol="tcp", start=80, end=80)
    seconds = median(lambda number: lab.apply(firewall=many if number % 2 else [*many, opening]))
    assert internet.ask(PUBLIC, 80).startswith("web")
    report("router.rule_change_of_1000", seconds * 1000, "ms", most=100)


def restart(lab: Lab) -> None:
    """Measure restartNetwork with cleanup: the router destroyed and made anew."""

    def again(_: int) -> None:
        router.destroy(lab.context, RouterReference(name=lab.spec.name), no_progress)
        lab.apply()

    report("router.restart_with_1000_rules", median(again, 5), "s", most=2)
    lab.apply(firewall=[])
    report("router.restart", median(again, 5), "s", most=2)
    report("router.look_after_unchanged", median(lambda _: networks.look_after(lab.context)) * 1000, "ms")


def dhcp_hosts(lab: Lab, folder: Path) -> None:
    """Add 600 machines one operation each, as deployments do, and all at once; the last one gets its lease."""
    machines = [
        GuestHost(
            mac=f"02:00:00:01:{number // 250:02x}:{number % 250:02x}",
            address=f"10.1.{8 + number // 250}.{number % 250 + 1}",
            name=f"m{number}",
        )
        for number in range(600)
    ]
    guest = msgspec.structs.replace(lab.spec.guest, prefix=16)
    plain = lab.spec.hosts
    lab.apply(guest=guest)
    started = time.perf_counter()
    lab.apply(hosts=[*plain, *machines])
    client = Client("last", names.guest_bridge(PREFIX, guest.segment), machines[-1].mac, 1450)
    try:
        assert client.dhcp(folder)["ip"] == machines[-1].address
    finally:
        client.close()
    report("router.600_dhcp_hosts_at_once", time.perf_counter() - started, "s", most=2)
    started = time.perf_counter()
    for number in range(50):
        lab.apply(hosts=[*plain, *machines[: 551 + number]])
    report("router.one_more_dhcp_host_of_600", (time.perf_counter() - started) / 50 * 1000, "ms")
    lab.apply(hosts=plain, guest=msgspec.structs.replace(guest, prefix=24))


def throughput(client: Client, server: Client, target: str, seconds: int = 1) -> float:
    """Return one TCP stream's Gbit/s."""
    listening = threading.Event()

    def serve() -> None:
        process = subprocess.Popen(["iperf3", "-s", "-1"], stdout=subprocess.DEVNULL)
        listening.set()
        process.wait(seconds + 20)

    thread = threading.Thread(target=lambda: inside(server.namespace, serve))
    thread.start()
    listening.wait(5)
    time.sleep(0.3)
    text = client.run(["iperf3", "-c", target, "-t", str(seconds), "-J"], timeout=seconds + 20)
    thread.join()
    return json.loads(text)["end"]["sum_received"]["bits_per_second"] / 1e9


def nat_ratio(lab: Lab, web: Client, internet: Client) -> None:
    """Compare the router full of rules with the few rules that somebody would write by hand, taking turns.

    What counts is the median of the ratios of neighbours in time, each first as often as the other: other work on the
    machine comes and goes, and one stream of a second alone varies by a fifth.
    """
    namespace = names.namespace(PREFIX, lab.spec.name)
    forward = PortForward(
        address=PUBLIC, protocol="tcp", start=5201, end=5201, guest_address="10.1.1.5", guest_start=5201, guest_end=5201
    )
    opening = FirewallRule(address=PUBLIC, protocol="tcp", start=5201, end=5201)

    def ours() -> float:
        lab.apply(firewall=[*rules(1000), opening], forwards=[forward])
        networks.look_after(lab.context)
        return throughput(internet, web, PUBLIC) + throughput(web, internet, INTERNET)

    def by_hand() -> float:
        arguments = ["ip", "netns", "exec", namespace, "nft", "-f", "-"]
        subprocess.run(arguments, input=f"flush ruleset\n{BY_HAND}", text=True, check=True, timeout=20)
        return throughput(internet, web, PUBLIC) + throughput(web, internet, INTERNET)

    pairs: list[tuple[float, float]] = []
    for number in range(TURNS):
        if number % 2:
            hand = by_hand()
            pairs.append((ours(), hand))
        else:
            pairs.append((ours(), by_hand()))
    ratios = [mine / hand for mine, hand in pairs]
    report("router.nat_throughput", statistics.median(mine for mine, _ in pairs) / 2, "Gbit/s")
    report("router.nat_throughput_to_by_hand", statistics.median(ratios), "ratio", least=0.95)


def memory(lab: Lab) -> None:
    """Report what the metadata process and its worker hold, which are there once for all routers."""
    pids = network.run(["pgrep", "-f", f"metadata_server --state {lab.context.data}"]).split()
    held = [line for pid in pids for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
    kib = sum(int(line.split()[1]) for line in held if line.startswith("Pss:"))
    report("router.metadata_processes", kib / 1024, "MiB")


def main() -> None:
    """Measure everything."""
    with tempfile.TemporaryDirectory() as folder, network.lab(Path(folder)) as lab:
        lab.apply()
        bridge = names.guest_bridge(PREFIX, lab.spec.guest.segment)
        web = Client("web", bridge, "02:00:00:00:00:05", 1450)
        internet = Client("net", names.public_bridge(PREFIX))
        try:
            web.configure("10.1.1.5/24", "10.1.1.1")
            web.serve(80)
            internet.configure(f"{INTERNET}/24")
            rule_change(lab, internet)
            restart(lab)
            dhcp_hosts(lab, Path(folder))
            nat_ratio(lab, web, internet)
            memory(lab)
        finally:
            web.close()
            internet.close()
    finish()


if __name__ == "__main__":
    main()
