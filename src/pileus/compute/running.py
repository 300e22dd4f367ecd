"""How many machines of accounts run and how many are stopped."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.compute import model
from pileus.compute.tables import machine


def of_accounts(db: Connection, accounts: Sequence[int]) -> dict[int, dict[str, int]]:
    """Return the fields vmrunning and vmstopped, by account: one query."""
    found = {id_: {"vmrunning": 0, "vmstopped": 0} for id_ in accounts}
    names = {model.RUNNING: "vmrunning", model.STOPPED: "vmstopped"}
    statement = (
        sa.select(machine.c.account_id, machine.c.state, sa.func.count())
        .where(machine.c.account_id.in_(list(found)), machine.c.state.in_(list(names)), machine.c.removed.is_(None))
        .group_by(machine.c.account_id, machine.c.state)
    )
    for account_id, state, count in db.execute(statement):
        found[account_id][names[state]] = int(count)
    return found
