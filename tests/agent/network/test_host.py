"""The host's own part: what may leave the machine, what guests may ask of it, segments that span hosts."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pileus.agent.context import AgentContext
from pileus.agent.linux import segments
from pileus.agent.linux.probe import kernel_isolation
from pileus.agent.linux.setns import inside
from pileus.agent.operations import network as networks
from pileus.agent.registry import OperationError
from pileus.wire.segments import PublicNetwork, Segment
from tests.support import network
from tests.support.network import PREFIX, Client, Lab, no_progress

WORLD = "192.0.2.1"


@pytest.fixture(params=["none", "auto"])
def connected(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Lab, Client, Client]]:
    """Make a host whose default route leads into a world, and one guest."""
    with network.lab(tmp_path, uplink=request.param) as lab:
        network.run(["ip", "link", "add", "lan", "type", "bridge"])
        network.run(["ip", "addr", "add", "192.0.2.2/24", "dev", "lan"])
        network.run(["ip", "link", "set", "lan", "up"])
        network.run(["ip", "route", "add", "default", "via", WORLD])
        network.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])  # as on a host that has other uses
        lab.apply()
        world = Client("world", "lan")
        guest = Client("web", f"{PREFIX}gx64", "02:00:00:00:00:05", 1450)
        try:
            world.configure(f"{WORLD}/24", "192.0.2.2")
            world.serve(80)
            guest.configure("10.1.1.5/24", "10.1.1.1")
            yield lab, guest, world
        finally:
            world.close()
            guest.close()


def test_the_uplink_decides_what_leaves(connected: tuple[Lab, Client, Client]) -> None:
    lab, guest, world = connected
    watch = world.inside(sniffer)
    try:
        answer = guest.ask(WORLD, 80)
        pinged = guest.pings(WORLD)
        seen = frames(watch)
    finally:
        watch.close()
    if lab.context.uplink == "none":
        assert (answer, pinged) == ("", False)
        assert not [frame for frame in seen if b"\xcb\x00\x71" in frame[:42] or b"\x0a\x01\x01" in frame[:42]]
        assert world.ask("203.0.113.10", 80) == ""
    else:
        assert (answer, pinged) == ("world 192.0.2.2", True), "as the host itself"


def test_guests_reach_of_the_host_only_what_is_opened(connected: tuple[Lab, Client, Client]) -> None:
    lab, guest, _ = connected
    with socket.create_server(("0.0.0.0", 8443)):
        assert guest.pings("203.0.113.1")
        assert guest.ask("203.0.113.1", 8443) == ""
        assert guest.ask("192.0.2.2", 8443) == ""
        changed = PublicNetwork(addresses=["203.0.113.1/24"], open_ports=[8443])
        networks.ensure_public(lab.context, changed, no_progress)
        assert connects(guest, "203.0.113.1", 8443)


def test_a_guest_cannot_use_its_bridge_as_a_way_into_the_host(connected: tuple[Lab, Client, Client]) -> None:
    _, guest, _ = connected
    mac = network.run(["ip", "-o", "link", "show", f"{PREFIX}gx64"]).split("link/ether ")[1].split()[0]
    guest.run(["ip", "route", "replace", "192.0.2.0/24", "via", "10.1.1.9", "onlink", "dev", "eth0"])
    guest.run(["ip", "neigh", "replace", "10.1.1.9", "lladdr", mac, "dev", "eth0"])
    with socket.create_server(("0.0.0.0", 8443)):
        assert guest.ask("192.0.2.2", 8443) == ""
        assert guest.ask(WORLD, 80) == ""


def test_packets_for_the_public_range_stay_home_without_the_bridge(connected: tuple[Lab, Client, Client]) -> None:
    network.run(["ip", "link", "set", f"{PREFIX}pub", "down"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        assert sender.connect_ex(("203.0.113.10", 9)) == errno.EHOSTUNREACH


def test_the_kernel_says_what_it_can() -> None:
    assert "vxlan" in kernel_isolation()
    assert set(kernel_isolation()) <= {"vxlan", "vlan"}


def test_what_the_kernel_cannot_do_is_refused(tmp_path: Path) -> None:
    context = AgentContext(data=tmp_path, prefix=PREFIX)
    if "vlan" in kernel_isolation():
        pytest.skip("this kernel can do VLANs")
    with network.private_host(), pytest.raises(OperationError) as caught:
        segments.ensure(context, Segment(kind="vlan", tag=100, label="eth0"))
    assert caught.value.code == "isolation-unsupported"


def test_a_segment_spans_hosts_and_keeps_others_out(tmp_path: Path) -> None:
    """Two hosts, two segments: guests of one segment meet across hosts, those of the other do not hear them."""
    network.sweep()
    hosts = ("198.51.100.1", "198.51.100.2")
    with network.private_host():
        network.run(["ip", "link", "add", "wire", "type", "bridge"])
        network.run(["ip", "link", "set", "wire", "up"])
        clients: list[Client] = []
        try:
            for number, address in enumerate(hosts):
                host = Client(f"host{number}", "wire")
                clients.append(host)
                host.configure(f"{address}/24")
                context = AgentContext(data=tmp_path / address, prefix=PREFIX, tunnel_address=address)
                for tag in (100, 200):
                    segment = Segment(kind="vxlan", tag=tag, peers=[other for other in hosts if other != address])
                    bridge = host.inside(lambda c=context, s=segment: segments.ensure(c, s))  # type: ignore[misc]
                    guest = inside(host.namespace, lambda b=bridge, n=number, t=tag: Client(f"g{n}{t}", b, "", 1450))  # type: ignore[misc]
                    clients.append(guest)
                    guest.configure(f"10.1.1.{number + 5}/24")
                    guest.serve(80)
            first, second, other = (
                next(c for c in clients if c.namespace.endswith(n)) for n in ("g0100", "g1100", "g1200")
            )
            assert first.ask("10.1.1.6", 80) == "g1100 10.1.1.5"
            assert second.ask("10.1.1.5", 80) == "g0100 10.1.1.6"
            assert other.ask("10.1.1.5", 80) == "g0200 10.1.1.6"
            context = AgentContext(data=tmp_path / hosts[0], prefix=PREFIX, tunnel_address=hosts[0])
            alone = Segment(kind="vxlan", tag=100)
            clients[0].inside(lambda: segments.ensure(context, alone))
            assert first.ask("10.1.1.6", 80) == "", "a peer that left the network is not reached"
            assert not clients[0].inside(lambda: segments.release(context, alone)), "a guest is plugged in"
        finally:
            for client in reversed(clients):
                client.close()
    network.sweep()


def connects(client: Client, address: str, port: int) -> bool:
    def connected() -> bool:
        with socket.create_connection((address, port), 2):
            return True

    return client.inside(connected)


def sniffer() -> socket.socket:
    watch = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    watch.setblocking(False)
    return watch


def frames(watch: socket.socket) -> list[bytes]:
    seen: list[bytes] = []
    while True:
        try:
            seen.append(watch.recv(2000))
        except BlockingIOError:
            return seen
