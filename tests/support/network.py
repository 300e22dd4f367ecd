"""Network namespaces for tests: a private 'host', guests and an 'internet' on its bridges, and what they can reach."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pileus.agent.context import AgentContext
from pileus.agent.linux.setns import NAMESPACES, inside
from pileus.agent.operations import network, router
from pileus.wire.hosts import RouterState
from pileus.wire.router import GuestHost, GuestLeg, PublicAddress, RouterSpec
from pileus.wire.segments import PublicNetwork, Segment

PREFIX = "tnet"
CLIENTS = "tnetc-"  # namespaces of guests and of the internet: not the cloud's own
QUICK = 0.4  # seconds after which a packet counts as dropped
T = TypeVar("T")


@contextlib.contextmanager
def private_host() -> Iterator[None]:
    """Move this process's main thread into a network namespace of its own, and back at the end."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open("rb") as home:
        if libc.unshare(0x40000000) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        try:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=10)
            yield
        finally:
            if libc.setns(home.fileno(), 0x40000000) != 0:
                raise OSError(ctypes.get_errno(), "setns")


def sweep() -> None:
    """Remove what an earlier run that was killed has left behind."""
    if NAMESPACES.is_dir():
        for path in NAMESPACES.iterdir():
            if path.name.startswith((f"{PREFIX}-", CLIENTS)):
                pids = subprocess.run(
                    ["ip", "netns", "pids", path.name], capture_output=True, text=True, check=True, timeout=10
                )
                for pid in pids.stdout.split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), 9)
                subprocess.run(["ip", "netns", "delete", path.name], check=True, timeout=10)


class Client:
    """A namespace with one interface on a bridge."""

    def __init__(self, name: str, bridge: str, mac: str = "", mtu: int = 1500) -> None:
        self.namespace = f"{CLIENTS}{name}"
        self.cable = f"tc{name}"
        self._closing: list[Callable[[], None]] = []
        run(["ip", "netns", "add", self.namespace])
        peer = ["peer", "name", "eth0", "netns", self.namespace, *(["address", mac] if mac else [])]
        run(["ip", "link", "add", self.cable, "type", "veth", *peer])
        run(["ip", "link", "set", self.cable, "master", bridge, "up"])
        self.run(["ip", "link", "set", "lo", "up"])
        self.run(["ip", "link", "set", "eth0", "mtu", str(mtu), "up"])

    def run(self, arguments: list[str], timeout: float = 20) -> str:
        """Run a program inside; returns its output."""
        return self.inside(lambda: run(arguments, timeout))

    def inside(self, function: Callable[[], T]) -> T:
        """Call a function inside."""
        return inside(self.namespace, function)

    def configure(self, address: str, gateway: str = "") -> None:
        """Give the interface an address by hand."""
        self.run(["ip", "addr", "add", address, "dev", "eth0"])
        if gateway:
            self.run(["ip", "route", "add", "default", "via", gateway])

    def dhcp(self, folder: Path, *more: str) -> dict[str, str]:
        """Get a lease as a guest does, configure it, and return what the server said; ``more``: options to ask for."""
        script = folder / "udhcpc.sh"
        script.write_text(
            "#!/bin/sh\n"
            'if [ "$1" = bound ]; then\n'
            f"env > {folder}/lease\n"
            'ip addr flush dev eth0; ip addr add "$ip/$mask" dev eth0\n'
            '[ -n "$router" ] && ip route add default via "$router"\n'
            "fi\nexit 0\n"
        )
        script.chmod(0o755)
        options = [option for name in ("mtu", "domain", "hostname", *more) for option in ("-O", name)]
        self.run(
            ["busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "3", "-T", "1", *options, "-s", str(script)]
        )
        lines = (folder / "lease").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def serve(self, port: int, kind: int = socket.SOCK_STREAM) -> None:
        """Answer each connection (or datagram) with this namespace's name and the asker's address."""

        def opened() -> socket.socket:
            listener = socket.socket(socket.AF_INET, kind)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("0.0.0.0", port))
            if kind == socket.SOCK_STREAM:
                listener.listen(16)
            listener.settimeout(0.2)
            return listener

        listener = self.inside(opened)
        ended = threading.Event()
        name = self.namespace.removeprefix(CLIENTS)

        def loop() -> None:
            while not ended.is_set():
                with contextlib.suppress(TimeoutError, ConnectionError):
                    if kind == socket.SOCK_DGRAM:
                        _, peer = listener.recvfrom(100)
                        listener.sendto(f"{name} {peer[0]}".encode(), peer)
                        continue
                    connection, peer = listener.accept()
                    with connection:
                        connection.sendall(f"{name} {peer[0]}".encode())

        thread = threading.Thread(target=loop)
        thread.start()

        def close() -> None:
            ended.set()
            thread.join()
            listener.close()

        self._closing.append(close)

    def ask(self, address: str, port: int, kind: int = socket.SOCK_STREAM) -> str:
        """Connect and read the answer; "" when nothing answers in time, "refused" when somebody says no."""

        def asked() -> str:
            with socket.socket(socket.AF_INET, kind) as connection:
                connection.settimeout(QUICK)
                try:
                    connection.connect((address, port))
                    if kind == socket.SOCK_DGRAM:
                        connection.send(b"?")
                    return connection.recv(100).decode()
                except ConnectionRefusedError:
                    return "refused"
                except (TimeoutError, OSError):
                    return ""

        return self.inside(asked)

    def pings(self, address: str) -> bool:
        """Tell whether an address answers a ping."""
        try:
            self.run(["busybox", "ping", "-c", "1", "-W", "1", address])
        except subprocess.CalledProcessError:
            return False
        return True

    def http(self, path: str, *, port: int = 80, address: str = "10.1.1.1", wish: str = "") -> tuple[int, bytes]:
        """GET a path; returns status and body."""
        extra = f"DomU_Request: {wish}\r\n" if wish else ""

        def got() -> bytes:
            with socket.create_connection((address, port), 3) as connection:
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {address}\r\n{extra}\r\n".encode())
                answer = b""
                while part := connection.recv(65536):
                    answer += part
                return answer

        head, body = self.inside(got).split(b"\r\n\r\n", 1)
        return int(head.split()[1]), body

    def close(self) -> None:
        """Stop servers and remove the namespace."""
        for close in self._closing:
            close()
        subprocess.run(["ip", "link", "delete", self.cable], check=False, capture_output=True, timeout=10)
        run(["ip", "netns", "delete", self.namespace])


class Lab:
    """A host with one router, which tests change and look at from guests and from the internet."""

    def __init__(self, context: AgentContext, spec: RouterSpec) -> None:
        self.context = context
        self.spec = spec

    def apply(self, **changes: Any) -> RouterState:
        """Apply the router with changed fields, as the next generation."""
        self.spec = msgspec.structs.replace(self.spec, generation=self.spec.generation + 1, **changes)
        return router.apply(self.context, self.spec, no_progress)


@contextlib.contextmanager
def lab(data: Path, uplink: str = "none") -> Iterator[Lab]:
    """Make a host with a public network and a router; all is gone at the end."""
    sweep()
    with private_host():
        public = PublicNetwork(addresses=["203.0.113.1/24"])
        context = AgentContext(data=data, prefix=PREFIX, public=public, uplink=uplink)
        network.teardown(context)
        try:
            yield Lab(context, router_spec())
        finally:
            network.teardown(context)


def router_spec(**changes: Any) -> RouterSpec:
    """Return a router with one public address and two machines."""
    spec = RouterSpec(
        name="r-4-VM",
        uuid=str(uuid.UUID(int=4)),
        generation=1,
        guest=GuestLeg(
            segment=Segment(kind="vxlan", tag=100),
            mac="02:00:00:00:01:01",
            address="10.1.1.1",
            prefix=24,
            domain="cs1.example",
        ),
        public_mac="06:00:00:00:01:01",
        public_addresses=[PublicAddress(address="203.0.113.10", prefix=24, gateway="203.0.113.1", source_nat=True)],
        hosts=[
            GuestHost(
                mac="02:00:00:00:00:05",
                address="10.1.1.5",
                name="web",
                metadata={"instance-id": "i-5", "availability-zone": "zone1"},
                user_data="IyEvYmluL3NoCg==",
                public_keys=["ssh-ed25519 AAAA one"],
                password="secret5",
                password_id="p5",
            ),
            GuestHost(mac="02:00:00:00:00:06", address="10.1.1.6", name="db", default=False),
        ],
    )
    return msgspec.structs.replace(spec, **changes)


def run(arguments: list[str], timeout: float = 20) -> str:
    """Run a program; returns its output, raises when it fails."""
    return subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=timeout).stdout


def eventually(check: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Wait until something is so, within a limit."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if check():
            return True
        time.sleep(0.05)
    return check()


def no_progress(_fraction: float) -> None:
    """Take an operation's progress and do nothing with it."""
