"""The supervising process: restarts what dies, keeps the log files small.  Standard library only, to stay light.

Control is by signals: HUP reads the list of services again and restarts only what changed; TERM ends the services,
the last one first, and then this process.  It holds a lock on
``DATA/run/supervisor.lock`` for as long as it lives, so a stale file never passes for a live supervisor.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

LOCK, SERVICES, STATE = "supervisor.lock", "services.json", "state.json"
SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0
SETTLED = 60.0  # seconds that a service must live for its pause to be forgotten
LARGEST_LOG, KEPT_LOGS = 20 * 2**20, 3
LOOK_AT_LOGS = 30.0


class Child:
    """One supervised process."""

    def __init__(self, described: dict[str, Any], logs: Path) -> None:
        self.described = described
        self.name: str = described["name"]
        self.argv: list[str] = described["argv"]
        self.stop_seconds: float = described["stop_seconds"]
        self.log = logs / f"{self.name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.restarts = -1  # the first start is none
        self.pause = FIRST_PAUSE
        self.start_at = 0.0
        self.started = 0.0

    @property
    def pid(self) -> int:
        """Return the running process, 0 when there is none."""
        return self.process.pid if self.process is not None else 0

    def start(self) -> None:
        """Start the process with its output appended to the log."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/",
                start_new_session=True, preexec_fn=unblock,  # noqa: PLW1509 - there is one thread here
            )  # fmt: skip
        self.started = time.monotonic()
        self.restarts += 1

    def reap(self) -> bool:
        """Notice that the process ended, and plan its next start; tell whether it ended."""
        if self.process is None or self.process.poll() is None:
            return False
        lived = time.monotonic() - self.started
        self.pause = FIRST_PAUSE if lived > SETTLED else min(self.pause * 2, LONGEST_PAUSE)
        self.start_at = time.monotonic() + self.pause
        say(f"{self.name} ended with code {self.process.returncode} after {lived:.1f} s; again in {self.pause:.1f} s")
        self.process = None
        return True

    def stop(self) -> None:
        """Ask the process to end, and kill it when it does not."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            self.process.wait(self.stop_seconds)
        except subprocess.TimeoutExpired:
            say(f"{self.name} did not end within {self.stop_seconds:.0f} s: killed")
            self.process.kill()
            self.process.wait(10)
        self.process = None


def unblock() -> None:
    """Give a child the signals back that the supervisor waits for."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def say(text: str) -> None:
    """Write a line to the supervisor's own log."""
    sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {text}\n")
    sys.stderr.flush()


def holder(lock: Path) -> int:
    """Return the process that holds the lock, 0 when nobody does."""
    try:
        with lock.open("r+") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(handle.read() or 0)
    except FileNotFoundError:
        return 0
    return 0


def rotate(log: Path, largest: int = LARGEST_LOG) -> None:
    """Copy a log that has grown large aside and empty it; its writers append, so they go on in the emptied file."""
    if not log.exists() or log.stat().st_size < largest:
        return
    for number in range(KEPT_LOGS - 1, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{number + 1}"))
    shutil.copyfile(log, log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)


def write_state(run: Path, children: list[Child]) -> None:
    """Write down how the services are, for `pileus status`."""
    state: list[dict[str, Any]] = [
        {"name": child.name, "running": child.pid != 0, "pid": child.pid, "restarts": max(child.restarts, 0)}
        for child in children
    ]
    fresh = run / f".{STATE}"
    fresh.write_text(json.dumps(state))
    fresh.replace(run / STATE)


def read_services(run: Path, logs: Path, running: list[Child]) -> list[Child]:
    """Return the children for the list of services as it stands now, and stop those that it has no more."""
    children: list[Child] = []
    for found in json.loads((run / SERVICES).read_text()):
        same = [child for child in running if child.described == found]
        children += same or [Child(found, logs)]
    for child in reversed(running):
        if child not in children:
            child.stop()
    return children


def supervise(run: Path, logs: Path) -> None:
    """Keep the services running until a TERM arrives."""
    children = read_services(run, logs, [])
    look_at_logs = 0.0
    try:
        while True:
            changed = [child for child in children if child.reap()]
            for child in children:
                if child.process is None and time.monotonic() >= child.start_at:
                    child.start()
                    changed.append(child)
            if changed:
                write_state(run, children)
            if time.monotonic() >= look_at_logs:
                for log in logs.glob("*.log"):
                    rotate(log)
                look_at_logs = time.monotonic() + LOOK_AT_LOGS
            due = [look_at_logs, *(child.start_at for child in children if child.process is None)]
            found = signal.sigtimedwait(SIGNALS, max(0.0, min(due) - time.monotonic()))
            if found is not None and found.si_signo == signal.SIGHUP:
                children = read_services(run, logs, children)
            elif found is not None and found.si_signo != signal.SIGCHLD:
                return
    finally:
        for child in reversed(children):
            child.stop()
        write_state(run, children)


def main() -> None:
    """Run as ``python -m pileus.client.daemon --data DIR``."""
    data = Path(sys.argv[sys.argv.index("--data") + 1])
    run, logs = data / "run", data / "logs"
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # before the lock says that this process can be signalled
    with (run / LOCK).open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another supervisor is at work here")
            sys.exit(1)
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        supervise(run, logs)


if __name__ == "__main__":
    main()
