"""What guests get from their router: address, names, metadata, password."""

from __future__ import annotations

import pwd
from pathlib import Path

import msgspec

from pileus.agent.linux.setns import inside
from pileus.agent.operations import network as networks
from pileus.dataplane import names
from pileus.wire.router import GuestHost, RouterSpec
from tests.support.network import PREFIX, Client, Lab, eventually


def fresh_guest(lab: Lab, name: str, mac: str) -> Client:
    return Client(name, names.guest_bridge(PREFIX, lab.spec.guest.segment), mac, 1450)


def lookup(client: Client, name: str) -> str:
    return client.run(["busybox", "nslookup", name, "10.1.1.1"])


def test_the_lease_is_the_reserved_address(lab: Lab, spec: RouterSpec, tmp_path: Path) -> None:
    guest = fresh_guest(lab, "one", "02:00:00:00:00:05")
    try:
        lease = guest.dhcp(tmp_path)
        told = {key: lease.get(key) for key in ("ip", "mask", "router", "dns", "mtu", "domain", "hostname")}
        assert told == {
            "ip": "10.1.1.5",
            "mask": "24",
            "router": "10.1.1.1",
            "dns": "10.1.1.1",
            "mtu": "1450",
            "domain": "cs1.example",
            "hostname": "web",
        }
        assert guest.pings("10.1.1.1")
    finally:
        guest.close()


def test_a_secondary_interface_gets_no_gateway(lab: Lab, spec: RouterSpec, tmp_path: Path) -> None:
    guest = fresh_guest(lab, "two", "02:00:00:00:00:06")
    try:
        lease = guest.dhcp(tmp_path)
        assert lease["ip"] == "10.1.1.6"
        assert "router" not in lease
        assert "dns" not in lease
    finally:
        guest.close()


def test_a_machine_added_later_gets_its_address(lab: Lab, spec: RouterSpec, tmp_path: Path) -> None:
    before = lab_dnsmasq(lab)
    later = GuestHost(mac="02:00:00:00:00:07", address="10.1.1.7", name="later")
    lab.apply(hosts=[*spec.hosts, later])
    guest = fresh_guest(lab, "late", later.mac)
    try:
        assert guest.dhcp(tmp_path)["ip"] == "10.1.1.7"
        assert "10.1.1.7" in lookup(guest, "later.cs1.example")
    finally:
        guest.close()
    assert lab_dnsmasq(lab) == before, "a new machine needs no restart"


def test_names_both_ways(lab: Lab, spec: RouterSpec, web: Client) -> None:
    assert "10.1.1.6" in lookup(web, "db.cs1.example")
    assert "10.1.1.6" in lookup(web, "db")
    assert "db.cs1.example" in lookup(web, "10.1.1.6")
    assert "10.1.1.1" in lookup(web, "data-server")


def test_metadata_and_user_data(lab: Lab, spec: RouterSpec, web: Client, db: Client) -> None:
    status, listing = web.http("/latest/meta-data/")
    assert status == 200
    keys = listing.decode().split()
    assert {"availability-zone", "instance-id", "local-hostname", "local-ipv4", "public-keys", "vm-id"} <= set(keys)
    assert web.http("/latest/meta-data/instance-id") == (200, b"i-5")
    assert web.http("/2009-04-04/meta-data/local-hostname") == (200, b"web")
    assert web.http("/1.0/meta-data/public-ipv4") == (200, b"203.0.113.10")
    assert web.http("/latest/public-keys") == (200, b"ssh-ed25519 AAAA one")
    assert web.http("/latest/user-data") == (200, b"#!/bin/sh\n")
    assert web.http("/latest/meta-data/nothing")[0] == 404
    assert db.http("/latest/meta-data/local-hostname") == (200, b"db"), "each guest sees its own"
    assert db.http("/latest/user-data") == (200, b"")


def test_metadata_follows_a_change_at_once(lab: Lab, spec: RouterSpec, web: Client) -> None:
    renamed = msgspec.structs.replace(spec.hosts[0], metadata={"instance-id": "i-other"})
    lab.apply(hosts=[renamed, *spec.hosts[1:]])
    assert web.http("/latest/meta-data/instance-id") == (200, b"i-other")


def test_a_password_is_given_until_it_is_taken(lab: Lab, spec: RouterSpec, web: Client, db: Client) -> None:
    def wish(client: Client, text: str) -> bytes:
        return client.http("/", port=8080, wish=text)[1]

    assert wish(web, "") == b"bad_request"
    assert wish(db, "send_my_password") == b"saved_password", "this one has none"
    assert wish(web, "send_my_password") == b"secret5"
    assert wish(web, "send_my_password") == b"secret5", "not taken yet: the guest may have crashed"
    assert networks.look_after(lab.context)[0].passwords_taken == []
    assert wish(web, "saved_password") == b"saved_password"
    assert networks.look_after(lab.context)[0].passwords_taken == ["p5"], "management may forget it"
    assert wish(web, "send_my_password") == b"saved_password"
    lab.apply(hosts=[msgspec.structs.replace(spec.hosts[0], password="new", password_id="p6"), *spec.hosts[1:]])
    assert wish(web, "send_my_password") == b"new", "a reset password is a new one"
    assert networks.look_after(lab.context)[0].passwords_taken == []
    lab.apply(hosts=spec.hosts)
    assert wish(web, "send_my_password") == b"saved_password", "never served again"


def test_guests_speak_with_processes_of_nobody_only(lab: Lab, spec: RouterSpec, web: Client) -> None:
    assert web.http("/latest/meta-data/local-hostname") == (200, b"web")
    state = f"--state\0{lab.context.data}/metadata\0".encode()
    both = [path.parent for path in Path("/proc").glob("[0-9]*/cmdline") if state in _content(path)]
    assert len(both) == 2
    facts = [dict(line.split(":\t", 1) for line in (each / "status").read_text().splitlines()) for each in both]
    (opener,), (worker,) = ([f for f in facts if f["Uid"].startswith("0\t") is root] for root in (True, False))
    nobody = str(pwd.getpwnam("nobody").pw_uid)
    assert worker["Uid"].split() == [nobody] * 4
    assert (worker["Groups"].strip(), worker["NoNewPrivs"]) == ("", "1")
    assert {int(worker[kind], 16) for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    assert _listening(lab, int(opener["Pid"])) == 0
    assert _listening(lab, int(worker["Pid"])) == 2
    dnsmasq = Path("/proc") / lab_dnsmasq(lab).strip() / "status"
    assert dict(line.split(":\t", 1) for line in dnsmasq.read_text().splitlines())["Uid"].split() == [nobody] * 4


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _listening(lab: Lab, pid: int) -> int:
    """Return how many sockets that listen in the router's namespace a process has open."""
    table = inside(names.namespace(PREFIX, lab.spec.name), lambda: Path("/proc/thread-self/net/tcp").read_text())
    listening = {line.split()[9] for line in table.splitlines()[1:] if line.split()[3] == "0A"}
    links = [str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()]
    return sum(link.removeprefix("socket:[").rstrip("]") in listening for link in links if link.startswith("socket:["))


def test_kept_files_with_passwords_are_private(lab: Lab, spec: RouterSpec) -> None:
    holding = [path for path in lab.context.data.rglob("*") if path.is_file() and b"secret5" in path.read_bytes()]
    assert holding
    assert {path.stat().st_mode & 0o777 for path in holding} == {0o600}
    run = Path("/run") / f"pileus-{PREFIX}"
    assert not [path for path in run.rglob("*") if path.is_file() and b"secret5" in path.read_bytes()]


def test_a_stuck_client_does_not_stop_the_service(lab: Lab, spec: RouterSpec, web: Client, db: Client) -> None:
    import socket

    stuck = [web.inside(lambda: socket.create_connection(("10.1.1.1", 80), 2)) for _ in range(80)]
    try:
        stuck[0].sendall(b"GET /")
        assert db.http("/latest/meta-data/local-hostname") == (200, b"db")
    finally:
        for each in stuck:
            each.close()
    assert eventually(lambda: web.http("/latest/meta-data/local-hostname") == (200, b"web"))


def lab_dnsmasq(lab: Lab) -> str:
    return (Path("/run") / f"pileus-{PREFIX}" / lab.spec.name / "dnsmasq.pid").read_text()
