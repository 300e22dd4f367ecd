"""What later slices tell the storage slice about the machines that volumes belong to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection

Describe = Callable[[Connection, Iterable[int]], dict[int, dict[str, Any]]]
"""``describe(db, machine_ids)``: by machine, the fields that its volumes answer (virtualmachineid, vmname, ...)."""

ROOT_TERMS = "terms of root disks"
"""Key of the fields that root disks answer by the machine's service offering, among those fields: not itself one."""

_describers: list[Describe] = []

DESTROY, EXPUNGING, EXPUNGED = "Destroy", "Expunging", "Expunged"
ALLOCATED, CREATING, READY = "Allocated", "Creating", "Ready"
ROOT, DATA = "ROOT", "DATADISK"


def describe_machines(describe: Describe) -> None:
    """Register who knows machines (the compute slice)."""
    _describers[:] = [describe]


def machine_fields(db: Connection, machine_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Return what volumes answer of their machines: one query for a whole page."""
    wanted = sorted(set(machine_ids))
    return _describers[0](db, wanted) if wanted and _describers else {}
