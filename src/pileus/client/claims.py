"""What the clouds of one machine must not share: name prefixes and public ranges, each claimed by one data folder."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import re
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from ipaddress import IPv4Network
from pathlib import Path

from pileus.client.folder import FolderError

PREFIX_LENGTH = 4  # an interface's name has room for fifteen characters in all
CLAIMS = Path("/var/lib/pileus/claims")
PUBLIC_RANGES = (
    "203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24",  # RFC 5737, for documentation
    *(f"198.18.{third}.0/24" for third in range(32)),  # RFC 2544, for benchmarks
)  # fmt: skip

_SERVER = re.compile(r"^\s*(?:deb\s.*?|URIs:.*?)https?://([A-Za-z0-9.-]+)", re.MULTILINE)
_RESOLVE_SECONDS = 1.0


class Claims:
    """Files that are named by what is claimed and hold the path of the data folder that has it."""

    def __init__(self, folder: Path = CLAIMS) -> None:
        self._folder = folder

    def prefix(self, data: Path) -> str:
        """Claim a prefix for links, namespaces and services that no other cloud here has."""
        return self._first(data, (prefix_candidate(data, attempt) for attempt in range(64)), "name prefix")

    def public_range(self, data: Path, routes: list[IPv4Network]) -> str:
        """Claim a public range that no other cloud here has and that overlaps with none of the networks in use."""
        free = (name for name in PUBLIC_RANGES if not any(IPv4Network(name).overlaps(route) for route in routes))
        return self._first(data, (name.replace("/", "_") for name in free), "public range").replace("_", "/")

    def release(self, data: Path) -> None:
        """Give back all that a data folder has claimed."""
        for mark in self._folder.glob("[!.]*"):
            if _owner(mark) == str(data):
                mark.unlink(missing_ok=True)

    def _first(self, data: Path, names: Iterable[str], what: str) -> str:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                for name in names:
                    if self._take(self._folder / name, data):
                        return name
        except PermissionError as error:
            raise FolderError(
                f"{self._folder} cannot be written: a real cloud needs root (or use --simulator)"
            ) from error
        raise FolderError(f"no free {what}: remove what is stale in {self._folder}")

    def _take(self, mark: Path, data: Path) -> bool:
        owner = _owner(mark)
        if owner and owner != str(data) and (Path(owner) / "cloud.json").exists():
            return False
        fresh = mark.with_name(f".{mark.name}.{os.getpid()}")
        fresh.write_text(str(data))
        fresh.replace(mark)
        return True


def prefix_candidate(data: Path, attempt: int = 0) -> str:
    """Return the attempt-th choice for a data folder: "p" and three letters or digits from a hash of its path."""
    digest = hashlib.sha256(f"{data}#{attempt}".encode()).digest()
    return "p" + base64.b32encode(digest).decode().lower()[: PREFIX_LENGTH - 1]


def routed_networks(table: Path = Path("/proc/net/route")) -> list[IPv4Network]:
    """Return the networks to which this machine has a route of its own, the default route left out."""
    found: list[IPv4Network] = []
    for line in table.read_text().splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and int(fields[7], 16):
            address, mask = (int.from_bytes(bytes.fromhex(fields[at]), "little") for at in (1, 7))
            found.append(IPv4Network((address, mask.bit_count())))
    return found


def package_servers(sources: Path = Path("/etc/apt")) -> list[IPv4Network]:
    """Return the addresses of the machine's package servers: a public range over them would cut it off from them.

    Documentation ranges do serve as real ones in laboratories.  Names that do not resolve within a second are left out.
    """
    files = (*sources.glob("sources.list"), *sources.glob("sources.list.d/*"))
    hosts = {match for file in files for match in _SERVER.findall(file.read_text(errors="replace"))}
    pool = ThreadPoolExecutor(max(1, len(hosts)), thread_name_prefix="resolve")
    try:
        answers = [pool.submit(socket.getaddrinfo, host, None, socket.AF_INET) for host in hosts]
        done, _late = wait(answers, timeout=_RESOLVE_SECONDS)
        found = [answer.result() for answer in done if answer.exception() is None]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return sorted({IPv4Network(str(entry[4][0])) for entries in found for entry in entries})


def _owner(mark: Path) -> str:
    try:
        return mark.read_text()
    except FileNotFoundError:
        return ""
