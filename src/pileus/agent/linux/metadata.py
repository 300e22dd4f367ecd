"""The cloud's metadata process on this host: started when a router needs it, told when something changed."""

from __future__ import annotations

import socket
import sys
import threading
import time
from pathlib import Path

from pileus.agent import kept
from pileus.agent.context import AgentContext
from pileus.agent.linux import processes
from pileus.agent.linux.commands import CommandError

_START = 15.0  # seconds that the process may take to start on a busy host
_lock = threading.Lock()
_taken: dict[Path, tuple[tuple[int, int], frozenset[str]]] = {}  # by file: its stamp, and what it says


def publish(context: AgentContext, name: str, service: bytes, renewed: bool) -> list[str]:
    """Give the process a router's state; `renewed` tells that its sockets must be opened (again)."""
    changed = kept.write(_state(context) / f"{name}.json", service)
    if changed or renewed:
        ensure_running(context)
    return ["metadata"] if changed else []


def withdraw(context: AgentContext, name: str) -> None:
    """Make the process close a router's sockets, which would keep its namespace alive."""
    path = _state(context) / f"{name}.json"
    if path.exists():
        path.unlink()
        _poke(context)


def ensure_running(context: AgentContext) -> list[str]:
    """Make the process look at all states now, and start it if it does not run."""
    with _lock:
        if _poke(context):
            return []
        _state(context).mkdir(mode=0o700, parents=True, exist_ok=True)
        arguments = ["--state", str(_state(context)), "--control", str(_control(context))]
        log = context.data / "metadata.log"
        processes.detach([sys.executable, "-P", "-m", "pileus.agent.metadata_server", *arguments], log)
        limit = time.monotonic() + _START
        while not _poke(context):
            if time.monotonic() > limit:
                raise CommandError(f"the metadata process did not start within {_START:.0f} s; its log is {log}")
            time.sleep(0.02)
        return ["metadata process"]


def stop(context: AgentContext) -> None:
    """End the process, if it runs."""
    pid = _poke(context)
    if pid:
        processes.stop(pid)
    _control(context).unlink(missing_ok=True)


def taken(context: AgentContext) -> frozenset[str]:
    """Return the ids of the passwords that guests have fetched."""
    path = _state(context) / "taken"
    try:
        status = path.stat()
    except FileNotFoundError:
        return frozenset()
    stamp = (status.st_mtime_ns, status.st_size)
    known = _taken.get(path)
    if known is None or known[0] != stamp:
        known = _taken[path] = (stamp, frozenset(path.read_text(encoding="utf-8").split()))
    return known[1]


def _poke(context: AgentContext) -> int:
    """Have the process reload, and return its pid; 0 when nobody answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(5.0)
        try:
            client.connect(str(_control(context)))
            return int(client.recv(32).strip() or b"0")
        except (FileNotFoundError, ConnectionError, TimeoutError):
            return 0


def _state(context: AgentContext) -> Path:
    return context.data / "metadata"


def _control(context: AgentContext) -> Path:
    return kept.run_folder(context) / "metadata.sock"
