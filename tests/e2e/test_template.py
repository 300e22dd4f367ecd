"""The built-in template as a real guest behind a real virtual router, in a network namespace of the test's own."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import subprocess
import urllib.request

import pytest

from pileus.dataplane import names
from pileus.images.builtin import cached
from pileus.wire.router import FirewallRule, GuestHost, PortForward
from tests.support.network import PREFIX, eventually, lab, run

pytestmark = [pytest.mark.e2e, pytest.mark.root]
MAC, PUBLIC = "02:00:00:00:00:05", "203.0.113.10"
USER_DATA = b"#!/bin/sh\nhostname > /var/www/user-data.txt\n"
BOOT_LIMIT = 90.0


class Guest:
    """A QEMU process with a console, a monitor and one interface on the guest bridge."""

    def __init__(self, folder, bridge):
        self.log = folder / "console.log"
        self.sockets = {}
        disk = folder / "disk.qcow2"
        if not disk.exists():
            run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(cached()), "-F", "qcow2", str(disk)])
        run(["ip", "tuntap", "add", "dev", "tguest", "mode", "tap"])
        run(["ip", "link", "set", "tguest", "master", bridge, "mtu", "1450", "up"])
        self.process = subprocess.Popen(
            [
                "qemu-system-x86_64", "-accel", "tcg,tb-size=32", "-m", "128", "-display", "none", "-nodefaults",
                "-drive", f"file={disk},if=virtio,cache=unsafe", "-device", "virtio-rng-pci",
                "-netdev", "tap,id=n,ifname=tguest,script=no,downscript=no",
                "-device", f"virtio-net-pci,netdev=n,mac={MAC},romfile=",
                "-chardev", f"socket,id=c,path={folder}/console,server=on,wait=off,logfile={self.log}",
                "-serial", "chardev:c", "-qmp", f"unix:{folder}/qmp,server=on,wait=off",
            ]
        )  # fmt: skip
        self.folder = folder

    def said(self, text):
        return self.log.exists() and text in self.log.read_text(errors="replace")

    def connect(self, name):
        found = socket.socket(socket.AF_UNIX)
        found.settimeout(20)
        found.connect(str(self.folder / name))
        return found

    def power_button(self):
        with self.connect("qmp") as monitor, monitor.makefile("rw") as lines:
            lines.readline()  # the greeting
            for command in ("qmp_capabilities", "system_powerdown"):
                lines.write(json.dumps({"execute": command}) + "\n")
                lines.flush()
                lines.readline()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        with contextlib.suppress(subprocess.CalledProcessError):
            run(["ip", "link", "delete", "tguest"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("guest")


@pytest.fixture(scope="module")
def key(folder):
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")])
    return folder / "key"


@pytest.fixture(scope="module")
def network(folder, key):
    with lab(folder) as found:
        found.apply(
            hosts=[
                GuestHost(
                    mac=MAC, address="10.1.1.5", name="first", metadata={"instance-id": "i-5"}, password="s3cret/&",
                    password_id="p1", user_data=base64.b64encode(USER_DATA).decode(),
                    public_keys=[key.with_suffix(".pub").read_text().strip()],
                )
            ],
            firewall=[FirewallRule(address=PUBLIC, protocol="tcp", start=port, end=port) for port in (80, 22)],
            forwards=[
                PortForward(
                    address=PUBLIC, protocol="tcp", start=port, end=port, guest_address="10.1.1.5", guest_start=port,
                    guest_end=port,
                )
                for port in (80, 22)
            ],
        )  # fmt: skip
        yield found


@pytest.fixture(scope="module")
def bridge(network):
    return names.guest_bridge(PREFIX, network.spec.guest.segment)


@pytest.fixture(scope="module")
def guest(folder, bridge):
    found = Guest(folder, bridge)
    try:
        assert eventually(lambda: found.said("first is ready"), BOOT_LIMIT), found.log.read_text(errors="replace")
        yield found
    finally:
        found.close()


def fetch(path):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{PUBLIC}/{path}", timeout=10) as answer:
        return answer.read().decode()


def ssh(key, *command):
    options = ["-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={key}.hosts", "-o", "BatchMode=yes"]
    return run(["ssh", "-i", str(key), *options, "-o", "ConnectTimeout=20", f"root@{PUBLIC}", *command], timeout=60)


def test_it_has_the_address_and_name_that_the_router_gave_it(guest):
    assert guest.said("pileus: first has the address 10.1.1.5 on eth0")


def test_its_page_says_its_name(guest):
    assert "<h1>first</h1>" in fetch("")


def test_its_user_data_ran_after_it_had_its_name(guest):
    assert fetch("user-data.txt") == "first\n"


def test_it_resolves_its_own_name_by_the_router(guest, key):
    assert "10.1.1.5" in ssh(key, "nslookup", "first.cs1.example")
    assert ssh(key, "cat", "/sys/class/net/eth0/mtu") == "1450\n"


def test_the_console_lets_in_with_the_password_of_the_password_server(guest):
    with guest.connect("console") as console:
        dialogue = (
            (b"\n", b"login:"),
            (b"root\n", b"assword:"),
            (b"s3cret/&\n", b"# "),
            (b"echo $USER-$((6*7))\n", b"root-42"),
        )
        for typed, expected in dialogue:
            console.sendall(typed)
            seen = b""
            while expected not in seen:
                seen += console.recv(4096)
        console.sendall(b"exit\n")


def test_the_password_is_served_only_once(guest, key):
    ask = 'wget -q -O - --header "DomU_Request: send_my_password" http://10.1.1.1:8080/'
    assert ssh(key, ask) == "saved_password"


def test_it_keeps_its_ssh_key_and_runs_user_data_once_over_a_power_cycle(folder, bridge, guest, key):
    ssh(key, "rm", "/var/www/user-data.txt")
    ssh(key, "sync")
    guest.power_button()
    guest.process.wait(30)
    guest.close()
    guest.log.unlink()
    again = Guest(folder, bridge)
    try:
        assert eventually(lambda: again.said("first is ready"), BOOT_LIMIT), again.log.read_text(errors="replace")
        assert ssh(key, "hostname") == "first\n"  # the kept known-hosts file would refuse a new host key
        assert ssh(key, "ls", "/var/www") == "index.html\n"
    finally:
        again.close()
