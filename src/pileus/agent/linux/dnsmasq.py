"""A router's dnsmasq: one process in its namespace that outlives the agent and re-reads its host lists."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from pileus.agent import kept
from pileus.agent.context import AgentContext
from pileus.agent.linux import namespaces, processes
from pileus.agent.linux.commands import CommandError
from pileus.agent.linux.setns import inside
from pileus.dataplane import dnsmasq


def paths(context: AgentContext, name: str) -> dnsmasq.Paths:
    """Name a router's files; host lists lie in /run, where dnsmasq can read them again as an ordinary user."""
    run = kept.run_folder(context) / name
    log = kept.router_folder(context, name) / "dnsmasq.log"
    return dnsmasq.Paths(f"{run}/reservations", f"{run}/names", f"{run}/dnsmasq.pid", str(log))


def ensure(context: AgentContext, name: str, namespace: str, files: dnsmasq.Files) -> list[str]:
    """Write what differs; start, restart or signal the process as needed. Returns what had to change."""
    where = paths(context, name)
    Path(where.pid).parent.mkdir(mode=0o755, exist_ok=True)
    changes: list[str] = []
    if kept.write(_config(context, name), files.config.encode()):
        changes.append("dnsmasq configuration")
    lists = ((where.reservations, files.reservations), (where.names, files.names))
    altered = [path for path, text in lists if kept.write(Path(path), text.encode(), 0o644)]
    changes += [Path(path).name for path in altered]
    pid = running(context, name)
    if pid and (changes[:1] == ["dnsmasq configuration"] or not _within(pid, namespace)):
        processes.stop(pid)
        pid = 0
    if not pid:
        _start(context, name, namespace)
        changes.append("dnsmasq")
    elif altered:
        processes.signal_to(pid, signal.SIGHUP)
    return changes


def running(context: AgentContext, name: str) -> int:
    """Return the pid of a router's dnsmasq, 0 when it does not run."""
    return processes.alive(Path(paths(context, name).pid), str(_config(context, name)))


def stop(context: AgentContext, name: str) -> None:
    """End a router's dnsmasq and remove its files in /run."""
    pid = running(context, name)
    if pid:
        processes.stop(pid)
    for path in paths(context, name)[:3]:
        Path(path).unlink(missing_ok=True)


def _config(context: AgentContext, name: str) -> Path:
    return kept.router_folder(context, name) / "dnsmasq.conf"


def _within(pid: int, namespace: str) -> bool:
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino == namespaces.inode(namespace)
    except FileNotFoundError:
        return False


def _start(context: AgentContext, name: str, namespace: str) -> None:
    """Start dnsmasq, which goes into the background once its sockets are open and says so by its exit code."""

    def start() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["dnsmasq", f"--conf-file={_config(context, name)}"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            start_new_session=True,
        )

    done = inside(namespace, start)
    if done.returncode:
        raise CommandError(f"dnsmasq of {name} did not start: {done.stderr.strip()[:500]}")
