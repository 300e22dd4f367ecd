"""What a machine's tap lets through, and how fast: veth cables named as taps stand for machines."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pileus.agent import machines
from pileus.agent.linux import links, nftables
from pileus.agent.operations import machine
from pileus.dataplane import names
from pileus.wire.machines import MachineSpec, Nic
from tests.support import network
from tests.support.network import PREFIX, Client, Lab

MAC, ADDRESS = "02:00:00:00:00:15", "10.1.1.21"
OTHER_MAC, OTHER_ADDRESS = "02:00:00:00:00:16", "10.1.1.22"
GATEWAY = "10.1.1.1"
EVERYBODY = "ff:ff:ff:ff:ff:ff"
RATE = 20  # Mbit/s


def spec_of(lab: Lab, mac: str, address: str, rate: int = 0, name: str = "i-2-21-VM") -> MachineSpec:
    nic = Nic(
        uuid=str(uuid.uuid5(uuid.NAMESPACE_OID, mac)),
        mac=mac,
        address=address,
        segment=lab.spec.guest.segment,
        device=0,
        rate_mbit=rate,
    )
    return MachineSpec(name=name, uuid=nic.uuid, cpus=1, cpu_mhz=500, memory_mib=32, disks=[], nics=[nic])


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with network.lab(tmp_path_factory.mktemp("agent")) as lab:
        lab.apply()
        yield lab


@pytest.fixture(scope="module")
def guest(host: Lab) -> Iterator[Client]:
    """A machine whose cable is named as its tap would be."""
    client = Client("tap", names.guest_bridge(PREFIX, host.spec.guest.segment), MAC, 1450)
    try:
        tap = names.tap(PREFIX, spec_of(host, MAC, ADDRESS).nics[0].uuid)
        for change in (["down"], ["name", tap]):
            network.run(["ip", "link", "set", client.cable, *change])
        client.cable = tap
        network.run(["ip", "link", "set", tap, "up"])
        client.configure(f"{ADDRESS}/24", GATEWAY)
        yield client
    finally:
        client.close()


@pytest.fixture(scope="module")
def neighbour(host: Lab) -> Iterator[Client]:
    client = Client("next", names.guest_bridge(PREFIX, host.spec.guest.segment), OTHER_MAC, 1450)
    try:
        client.configure(f"{OTHER_ADDRESS}/24", GATEWAY)
        yield client
    finally:
        client.close()


def desire(host: Lab, spec: MachineSpec, *, running: bool = True) -> None:
    machines.keep(host.context.data, spec, running=running)
    machine.look_after(host.context)


def octets(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def frame(kind: int, body: bytes, source: str = MAC) -> bytes:
    return octets(EVERYBODY) + octets(source) + struct.pack("!H", kind) + body


def arp(mac: str, address: str, operation: int = 2) -> bytes:
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    target = bytes(6) + socket.inet_aton(OTHER_ADDRESS)
    return head + octets(mac) + socket.inet_aton(address) + target


def udp(address: str, ports: tuple[int, int], to: str = OTHER_ADDRESS) -> bytes:
    payload = struct.pack("!HHHH", *ports, 12, 0) + b"mark"
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, 17, 0)
    return head + socket.inet_aton(address) + socket.inet_aton(to) + payload


PASS = {
    "own address": frame(0x0800, udp(ADDRESS, (5000, 5000))),
    "own ARP answer": frame(0x0806, arp(MAC, ADDRESS)),
    "ARP probe": frame(0x0806, arp(MAC, "0.0.0.0", 1)),
    "DHCP question": frame(0x0800, udp("0.0.0.0", (68, 67), "255.255.255.255")),
}
DROP = {
    "foreign MAC": frame(0x0800, udp(ADDRESS, (5000, 5000)), OTHER_MAC),
    "foreign address": frame(0x0800, udp(OTHER_ADDRESS, (5000, 5000))),
    "no address": frame(0x0800, udp("0.0.0.0", (5000, 5000), "255.255.255.255")),
    "the gateway's ARP": frame(0x0806, arp(MAC, GATEWAY)),
    "ARP of a foreign MAC": frame(0x0806, arp(OTHER_MAC, ADDRESS)),
    "ARP answer of nobody": frame(0x0806, arp(MAC, "0.0.0.0")),
    "DHCP offer": frame(0x0800, udp(ADDRESS, (67, 68), "255.255.255.255")),
    "IPv6": frame(0x86DD, bytes(60)),
    "tagged": frame(0x8100, struct.pack("!HH", 5, 0x0800) + udp(OTHER_ADDRESS, (5000, 5000))),
    "bridge protocol": frame(0x88CC, bytes(60)),
}


def arrives(guest: Client, neighbour: Client, content: bytes) -> bool:
    """Send a frame and tell whether the neighbour sees it."""

    def opened() -> socket.socket:
        kernel = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        kernel.bind(("eth0", 0))
        kernel.settimeout(0.3)
        return kernel

    # Tags are taken off by the receiving kernel, so what follows them is compared.
    tail = content[18:] if content[12:14] == b"\x81\x00" else content[14:]
    with neighbour.inside(opened) as ear, guest.inside(opened) as mouth:
        mouth.send(content)
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            try:
                if tail in ear.recv(2048):
                    return True
            except TimeoutError:
                break
    return False


@pytest.fixture
def guarded(host: Lab, guest: Client, neighbour: Client) -> Iterator[Lab]:
    spec = spec_of(host, MAC, ADDRESS)
    desire(host, spec)
    yield host
    machines.forget(host.context.data, spec.name)
    machine.look_after(host.context)


@pytest.mark.parametrize("name", PASS)
def test_what_is_honest_passes(guarded: Lab, guest: Client, neighbour: Client, name: str):
    assert arrives(guest, neighbour, PASS[name])


@pytest.mark.parametrize("name", DROP)
def test_what_is_forged_is_dropped(guarded: Lab, guest: Client, neighbour: Client, name: str):
    assert not arrives(guest, neighbour, DROP[name])


@pytest.mark.parametrize("name", DROP)
def test_the_guard_is_what_drops(host: Lab, guest: Client, neighbour: Client, name: str):
    assert arrives(guest, neighbour, DROP[name])


def test_a_nic_without_address_may_use_any_but_with_its_mac(host: Lab, guest: Client, neighbour: Client):
    spec = spec_of(host, MAC, "")
    desire(host, spec)
    try:
        assert arrives(guest, neighbour, DROP["foreign address"])
        assert not arrives(guest, neighbour, DROP["foreign MAC"])
    finally:
        machines.forget(host.context.data, spec.name)


def test_a_guest_with_a_forged_identity_reaches_nobody(guarded: Lab, guest: Client):
    assert guest.pings(GATEWAY)
    guest.run(["ip", "address", "add", "10.1.1.99/24", "dev", "eth0"])
    try:
        with pytest.raises(subprocess.CalledProcessError):
            guest.run(["busybox", "ping", "-c", "1", "-W", "1", "-I", "10.1.1.99", GATEWAY])
    finally:
        guest.run(["ip", "address", "del", "10.1.1.99/24", "dev", "eth0"])
    guest.run(["ip", "link", "set", "eth0", "address", "02:00:00:00:00:99"])
    try:
        assert not guest.pings(GATEWAY)
    finally:
        guest.run(["ip", "link", "set", "eth0", "address", MAC])
    assert network.eventually(lambda: guest.pings(GATEWAY))


def test_a_guest_still_gets_its_lease(guarded: Lab, guest: Client, tmp_path: Path):
    host = msgspec.structs.replace(guarded.spec.hosts[0], mac=MAC, address=ADDRESS, name="tap")
    guarded.apply(hosts=[*guarded.spec.hosts, host])
    assert guest.dhcp(tmp_path)["ip"] == ADDRESS


def test_a_guard_that_was_taken_away_comes_back(guarded: Lab, guest: Client, neighbour: Client):
    nftables.delete_table("bridge", names.host_table(PREFIX))
    machine.look_after(guarded.context)
    assert not arrives(guest, neighbour, DROP["foreign address"])


def throughput(server: Client, client: Client, target: str) -> float:
    """Return the Mbit/s that one TCP connection gets, from its first byte: no buffered second falsifies it."""
    serving = threading.Thread(target=lambda: server.run(["iperf3", "-s", "-1"], timeout=30))
    serving.start()
    try:
        time.sleep(0.3)
        told = client.run(["iperf3", "-c", target, "-t", "4", "-J"], timeout=20)
    finally:
        serving.join()
    return json.loads(told)["end"]["sum_received"]["bits_per_second"] / 1e6


def test_rates_are_limited_both_ways(host: Lab, guest: Client, neighbour: Client):
    spec = spec_of(host, MAC, ADDRESS, RATE)
    try:
        desire(host, spec)
        assert 0.8 * RATE < throughput(guest, neighbour, ADDRESS) < 1.1 * RATE
        assert 0.8 * RATE < throughput(neighbour, guest, OTHER_ADDRESS) < 1.1 * RATE
        desire(host, spec_of(host, MAC, ADDRESS))
        assert throughput(neighbour, guest, OTHER_ADDRESS) > 10 * RATE, "without a limit"
        assert throughput(guest, neighbour, ADDRESS) > 10 * RATE, "without a limit"
    finally:
        machines.forget(host.context.data, spec.name)
        machine.look_after(host.context)


def queues(tap: str) -> list[str]:
    """Name the queues of a tap and of its intermediate device."""
    told = network.run(["tc", "qdisc", "show", "dev", tap])
    shaper = tap.replace(f"{PREFIX}t", f"{PREFIX}gi")
    if links.index(shaper):
        told += network.run(["tc", "qdisc", "show", "dev", shaper])
    return [line.split()[1] for line in told.splitlines() if "noqueue" not in line]


def test_limits_come_back_and_go(host: Lab, guest: Client):
    spec = spec_of(host, MAC, ADDRESS, RATE)
    tap, shaper = guest.cable, names.shaper(PREFIX, spec.nics[0].uuid)
    complete = ["tbf", "ingress", "tbf"]
    try:
        desire(host, spec)
        assert queues(tap) == complete
        for damage in (
            ["tc", "qdisc", "del", "dev", tap, "root"],
            ["tc", "qdisc", "del", "dev", tap, "ingress"],
            ["tc", "filter", "del", "dev", tap, "ingress"],
            ["ip", "link", "del", shaper],
            ["tc", "qdisc", "replace", "dev", shaper, "root", "tbf", "rate", "1gbit", "burst", "1mb", "latency", "9ms"],
        ):
            network.run(damage)
            machine.look_after(host.context)
            assert queues(tap) == complete
            assert f"redirect to device {shaper}" in filters(tap).lower()
        assert "rate 20Mbit" in network.run(["tc", "qdisc", "show", "dev", shaper])
        desire(host, spec, running=False)
        assert queues(tap) == []
        assert not links.index(shaper)
    finally:
        machines.forget(host.context.data, spec.name)
        machine.look_after(host.context)


def filters(tap: str) -> str:
    return network.run(["tc", "filter", "show", "dev", tap, "ingress"])
