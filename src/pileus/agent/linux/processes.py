"""Processes that outlive the agent: found again by pid file and command line, stopped within a limit."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from pathlib import Path

_GRACE = 3.0  # seconds between SIGTERM and SIGKILL


def alive(pid_file: Path, marker: str) -> int:
    """Return the pid in the file if that process runs and has the marker in its command line, else 0."""
    try:
        pid = int(pid_file.read_text(encoding="ascii").strip() or "0")
    except (FileNotFoundError, ValueError):
        return 0
    return pid if pid and marker in _command_line(pid) else 0


def signal_to(pid: int, number: signal.Signals) -> bool:
    """Send a signal; returns False when the process is gone already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def stop(pid: int) -> None:
    """End a process: SIGTERM, and SIGKILL when it does not go; returns when it is gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not signal_to(pid, number) or select.select([descriptor], [], [], _GRACE)[0]:
                return
    finally:
        os.close(descriptor)


def detach(arguments: list[str], log: Path) -> None:
    """Start a process that is no child of the agent, with its output in the log."""
    with log.open("ab") as output:
        subprocess.run(
            ["setsid", "--fork", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=10,
            check=True,
        )


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
