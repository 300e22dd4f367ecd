"""What a supervised service is, and how its command line is built."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path
from typing import Protocol

import msgspec

CAPABILITY = "dac_read_search"


class Service(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A process to keep running."""

    name: str
    argv: list[str]
    user: str = ""  # "" = whoever starts the supervisor
    reads_everything: bool = False  # the program's own files are closed to the user: see `reachable`
    stop_seconds: float = 20.0  # between asking it to end and killing it
    revision: str = ""  # of the settings that it reads when it starts: another one means a restart


class ServiceState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a supervisor says of one service."""

    name: str
    running: bool
    pid: int = 0
    restarts: int = 0
    detail: str = ""


class Supervisor(Protocol):
    """Keeps the services of one cloud running."""

    def ensure(self, services: list[Service]) -> bool:
        """Make exactly these services run; tell whether anything had to be started."""
        ...

    def stop(self) -> None:
        """Stop the services and the supervision itself."""
        ...

    def states(self) -> list[ServiceState]:
        """Say how the services are."""
        ...


def pileus_command(*arguments: str | Path) -> list[str]:
    """Return the command line of a part of this very installation."""
    return [sys.executable, "-P", "-m", "pileus.client.main", *(str(part) for part in arguments)]


def command_line(service: Service) -> list[str]:
    """Return what is executed: the service with the rights of its user, ended when its supervisor dies."""
    command = ["setpriv", "--pdeathsig", "TERM"]
    if service.user:
        capabilities = f"-all,+{CAPABILITY}" if service.reads_everything else "-all"
        group = pwd.getpwnam(service.user).pw_gid
        command += [
            f"--reuid={service.user}", f"--regid={group}", "--init-groups", "--no-new-privs",
            f"--inh-caps={capabilities}", f"--ambient-caps={capabilities}", f"--bounding-set={capabilities}",
        ]  # fmt: skip
    return [*command, "--", *service.argv]


def reachable(path: Path, user: str) -> bool:
    """Tell whether a user who owns none of the folders above may pass through them and read the path.

    A clone in /root is closed to the server's user.  It then keeps one capability, to read what it may not write.
    """
    entry = pwd.getpwnam(user)
    groups = set(os.getgrouplist(user, entry.pw_gid))
    real = path.resolve()
    for part in (*real.parents, real):
        facts = part.stat()
        shift = 6 if facts.st_uid == entry.pw_uid else 3 if facts.st_gid in groups else 0
        needed = 0o5 if part == real and part.is_dir() else 0o1 if part.is_dir() else 0o4
        if (facts.st_mode >> shift) & needed != needed:
            return False
    return True
