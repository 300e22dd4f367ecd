"""Processes that belong to a cloud, found by the data folder's path in their command lines."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import msgspec

PROGRAMS = ("dnsmasq", "haproxy", "libvirtd", "virtlogd", "qemu-system-", "unshare")


class Process(msgspec.Struct, frozen=True):
    """A process of a cloud."""

    pid: int
    command: str


def find(data: Path, *, services_only: bool = False) -> list[Process]:
    """Return the running processes of the cloud in this folder; never the caller or one that the caller came from."""
    above = _ancestors()
    found: list[Process] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in above:
            continue
        try:
            argv = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if is_ours(argv, data) and (not services_only or is_service(argv)):
            found.append(Process(int(entry.name), " ".join(argv).strip()))
    return sorted(found, key=lambda process: process.pid)


def runs(pid: int) -> bool:
    """Tell whether a process is there and has not ended (one that nobody has waited for yet, has)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")


def is_ours(argv: list[str], data: Path) -> bool:
    """Tell whether this is a command line of Pileus or of a program that it starts, with this data folder in it."""
    if not any(_names(part, str(data)) for part in argv[1:]):
        return False
    program = Path(argv[0]).name
    return program.startswith(PROGRAMS) or any(part.startswith("pileus.") for part in argv[1:6])


def is_service(argv: list[str]) -> bool:
    """Tell whether this is a server or an agent: what a supervisor keeps running."""
    return "pileus.client.main" in argv and ("server" in argv or ("agent" in argv and "run" in argv))


def end(data: Path, patience: float = 5.0, *, services_only: bool = False) -> list[Process]:
    """End what is left of a cloud, politely and then not; return what had to be ended."""
    left = find(data, services_only=services_only)
    if not left:
        return left
    for process in left:
        _send(process.pid, signal.SIGTERM)
    until = time.monotonic() + patience
    while find(data, services_only=services_only) and time.monotonic() < until:
        time.sleep(0.05)
    for process in find(data, services_only=services_only):
        _send(process.pid, signal.SIGKILL)
    return left


def _names(part: str, data: str) -> bool:
    at = part.find(data)
    return at >= 0 and part[at + len(data) : at + len(data) + 1] in ("", "/", ",")


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _ancestors() -> set[int]:
    found: set[int] = set()
    pid = os.getpid()
    while pid > 0:
        found.add(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except FileNotFoundError:
            break
    return found
