"""The desired state of this host's machines, one file each in DATA/agent/machines: spec and power.

It is what lets the agent bring them back after `pileus down` or a reboot of the host.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import structlog

from pileus.agent import kept
from pileus.agent.registry import OperationError
from pileus.wire.machines import MachineSpec

log = structlog.get_logger(__name__)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A machine's spec and whether it should run."""

    spec: MachineSpec
    running: bool


def checked(name: str) -> str:
    """Return the name when it can be one of a file and of a domain; anything else is refused."""
    if not _NAME.fullmatch(name):
        raise OperationError("invalid-name", f"{name!r} is no name for a machine")
    return name


def keep(data: Path, spec: MachineSpec, *, running: bool) -> None:
    """Write a machine's file (0600: it has the console's password)."""
    (data / "machines").mkdir(exist_ok=True, mode=0o700)
    kept.write(_file(data, spec.name), msgspec.json.encode(Kept(spec=spec, running=running)), durable=True)


def find(data: Path, name: str) -> Kept | None:
    """Read a machine's file."""
    try:
        return msgspec.json.decode(_file(data, name).read_bytes(), type=Kept)
    except FileNotFoundError:
        return None


def forget(data: Path, name: str) -> None:
    """Delete a machine's file."""
    _file(data, name).unlink(missing_ok=True)


def all_kept(data: Path) -> list[Kept]:
    """Read all files; one that cannot be read is logged and left out."""
    found: list[Kept] = []
    for file in sorted((data / "machines").glob("*.json")):
        try:
            found.append(msgspec.json.decode(file.read_bytes(), type=Kept))
        except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
            text = "the file of a machine is unreadable; start the machine again by the API"
            log.error(text, file=str(file), why=str(error))  # noqa: TRY400
    return found


def _file(data: Path, name: str) -> Path:
    return data / "machines" / f"{checked(name)}.json"
