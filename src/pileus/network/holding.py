"""Rows held for one transaction, so that what was seen before a change is still so when it is made.

SQLite has one writer at a time anyway.  Everybody holds owners first, then networks, then routers.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.core.errors import ConcurrentChange
from pileus.identity.tables import account
from pileus.network import model
from pileus.network.tables import network


def hold(db: Connection, network_id: int) -> bool:
    """Let nobody else change a network's addresses or add rules to it before this transaction ends.

    Returns whether somebody may have done so since the transaction began; raises ConcurrentChange when the network is
    on its way out.
    """
    if db.dialect.name == "sqlite":
        return False
    held = sa.select(network.c.name, network.c.state).where(network.c.id == network_id)
    row = db.execute(held.with_for_update(key_share=True)).one()
    if row.state in (model.SHUTDOWN, model.DESTROY):
        raise ConcurrentChange(f"network {row.name} is being deleted")
    return True


def hold_owner(db: Connection, account_id: int) -> None:
    """Let nobody else who does so make something for an account before this transaction ends."""
    if db.dialect.name != "sqlite":
        held = sa.select(account.c.id).where(account.c.id == account_id)
        db.execute(held.with_for_update(key_share=True)).one()
