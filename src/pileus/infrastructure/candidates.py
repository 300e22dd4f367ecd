"""Where a machine could go: what listHosts says of hosts for one machine, asked of the slice that places machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.infrastructure.tables import host

Judge = Callable[[Connection, Row[Any]], tuple[frozenset[int], frozenset[int]]]
"""``judge(db, machine)``: the hosts on which the machine fits by every rule, and those that have room for it."""

_judges: list[Judge] = []


def judged_by(judge: Judge) -> None:
    """Register who knows."""
    _judges[:] = [judge]


def conditions(machine: Row[Any]) -> list[sa.ColumnElement[bool]]:
    """Return the conditions for hosts in question: others of the machine's cluster, of its zone while it is on none."""
    found = [host.c.hypervisor == machine.hypervisor, host.c.zone_id == machine.zone_id]
    if machine.host_id is not None:
        found += [host.c.cluster_id == machine.cluster_id, host.c.id != machine.host_id]
    return found


def fields(db: Connection, machine: Row[Any], rows: Sequence[Row[Any]]) -> Mapping[int, dict[str, bool]]:
    """Return the fields suitableformigration and hasenoughcapacity of hosts."""
    fit, roomy = _judges[0](db, machine)
    return {row.id: {"suitableformigration": row.id in fit, "hasenoughcapacity": row.id in roomy} for row in rows}
