"""Rules of networks in the database: written, withdrawn, dropped with what they lead to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.network import model, routers
from pileus.network.tables import public_address, rule


def add(db: Connection, of: Row[Any], purpose: str, values: Sequence[dict[str, Any]]) -> tuple[list[int], int | None]:
    """Write new rules of a network; return their ids, and the router to wait for (None: they are staged)."""
    wanted = routers.want(db, of.id)
    ids: list[int] = []
    for each in values:
        ids.append(
            database.insert(
                db,
                rule,
                **{
                    "uuid": database.new_uuid(),
                    "purpose": purpose,
                    "network_id": of.id,
                    "account_id": of.account_id,
                    "domain_id": of.domain_id,
                    "state": model.STAGED if wanted is None else model.ADD,
                    "wish": None if wanted is None else wanted[1],
                    "created": database.now(),
                    **each,
                },
            )
        )
    return ids, None if wanted is None else wanted[0]


def withdraw(db: Connection, network_id: int, rows: Sequence[Row[Any]]) -> int | None:
    """Let rules go; return the router to wait for (None: they are gone already)."""
    wanted = routers.want(db, network_id)
    ids = [row.id for row in rows]
    if wanted is None:
        db.execute(sa.delete(rule).where(rule.c.id.in_(ids)))
        return None
    db.execute(sa.update(rule).where(rule.c.id.in_(ids)).values(state=model.REVOKE, wish=wanted[1]))
    return wanted[0]


def keep(db: Connection, ids: Sequence[int]) -> None:
    """Take back a withdrawal that could not be applied: what is still there stays in force."""
    rows = db.execute(sa.select(rule).where(rule.c.id.in_(ids), rule.c.state == model.REVOKE)).all()
    if not rows:
        return
    wanted = routers.want(db, rows[0].network_id)
    state, wish = (model.STAGED, None) if wanted is None else (model.ACTIVE, None)
    db.execute(sa.update(rule).where(rule.c.id.in_([row.id for row in rows])).values(state=state, wish=wish))


def give_up(db: Connection, ids: Sequence[int]) -> None:
    """Drop new rules that could not be applied, and let the router forget what it may have taken of them."""
    rows = db.execute(sa.select(rule).where(rule.c.id.in_(ids), rule.c.state == model.ADD)).all()
    if rows:
        db.execute(sa.delete(rule).where(rule.c.id.in_([row.id for row in rows])))
        routers.want(db, rows[0].network_id)


def drop_for_nics(db: Connection, nic_ids: Sequence[int]) -> None:
    """Drop port forwarding and static NAT that lead to NICs which are gone (the caller tells the routers)."""
    ids = list(db.execute(sa.select(rule.c.id).where(rule.c.nic_id.in_(nic_ids))).scalars())
    if ids:
        db.execute(sa.delete(rule).where(sa.or_(rule.c.id.in_(ids), rule.c.related_id.in_(ids))))
    mapped = sa.select(public_address.c.id).where(public_address.c.nic_id.in_(nic_ids))
    addresses = list(db.execute(mapped).scalars())
    if addresses:
        db.execute(sa.delete(rule).where(rule.c.address_id.in_(addresses)))
        unmap(db, addresses)


def unmap(db: Connection, address_ids: Sequence[int]) -> None:
    """Take the static NAT away from addresses."""
    db.execute(
        sa.update(public_address)
        .where(public_address.c.id.in_(address_ids))
        .values(is_static_nat=False, machine_id=None, nic_id=None)
    )


def of_address(db: Connection, address_id: int, *purposes: str) -> list[Row[Any]]:
    """Return an address's rules (of some purposes) that are not on their way out."""
    statement = sa.select(rule).where(rule.c.address_id == address_id, rule.c.state != model.REVOKE)
    if purposes:
        statement = statement.where(rule.c.purpose.in_(purposes))
    return list(db.execute(statement.order_by(rule.c.id)).all())


def egress_of(db: Connection, network_id: int) -> list[Row[Any]]:
    """Return a network's egress rules that are not on their way out."""
    return list(
        db.execute(
            sa.select(rule)
            .where(rule.c.network_id == network_id, rule.c.purpose == model.EGRESS, rule.c.state != model.REVOKE)
            .order_by(rule.c.id)
        ).all()
    )


def with_related(db: Connection, row: Row[Any]) -> list[Row[Any]]:
    """Return a rule with the firewall rule that came with it."""
    return [row, *db.execute(sa.select(rule).where(rule.c.related_id == row.id)).all()]
