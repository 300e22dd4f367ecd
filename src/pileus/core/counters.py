"""Exact counts of large tables at no cost to readers: triggers keep the number of live rows of each account.

A list without filters would otherwise count every row for every page: 50 ms for a million.  The triggers run in the
transaction of the change itself, so the numbers are as exact as ``COUNT(*)``.  On PostgreSQL each connection counts in
a slot of its own (of 64), so that transactions which make rows of one account do not wait for one another.

A second count, by blocks of ids, says where the n-th row is: without it a page far down a list would step over every
row before it (0.3 s for a million).

``counted(table)`` declares it, for tables with columns ``account_id`` and ``removed``; ``create_all`` makes the
triggers with the table, migrations call ``install``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection, Table, event
from sqlalchemy.sql import visitors

from pileus.core.database import metadata, type_id
from pileus.core.statements import select

SLOTS = 64

row_count = sa.Table(
    "row_count",
    metadata,
    sa.Column("table_name", sa.String(64), primary_key=True),
    sa.Column("account_id", type_id, primary_key=True, autoincrement=False),
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("n", sa.BigInteger, nullable=False),
)

row_block = sa.Table(
    "row_block",
    metadata,
    sa.Column("table_name", sa.String(64), primary_key=True),
    sa.Column("block", type_id, primary_key=True, autoincrement=False),
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("n", sa.BigInteger, nullable=False),
)
"""How many live rows have an id in [block << 12, (block + 1) << 12)."""

BLOCK_BITS = 12  # as the triggers have it

_counted: dict[str, Table] = {}

_ADD = (
    "INSERT INTO row_count (table_name, account_id, slot, n) VALUES ('{table}', {row}.account_id, {slot}, {delta})"
    " ON CONFLICT (table_name, account_id, slot) DO UPDATE SET n = row_count.n + {delta};"
    " INSERT INTO row_block (table_name, block, slot, n)"
    " VALUES ('{table}', {row}.id >> 12, {slot}, {delta})"
    " ON CONFLICT (table_name, block, slot) DO UPDATE SET n = row_block.n + {delta}"
)
_SQLITE = (
    "CREATE TRIGGER {table}_counted_{kind} AFTER {what} ON {table} FOR EACH ROW WHEN {when} BEGIN {first}; END",
    (
        ("insert", "INSERT", "NEW.removed IS NULL", "NEW", 1),
        ("delete", "DELETE", "OLD.removed IS NULL", "OLD", -1),
        ("live", "UPDATE OF removed, account_id", "NEW.removed IS NULL AND ({changed})", "NEW", 1),
        ("gone", "UPDATE OF removed, account_id", "OLD.removed IS NULL AND ({changed})", "OLD", -1),
    ),
)
_CHANGED = "OLD.removed IS NOT NULL OR NEW.removed IS NOT NULL OR OLD.account_id <> NEW.account_id"
_POSTGRESQL = """
CREATE OR REPLACE FUNCTION {table}_counted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP <> 'INSERT' THEN
    IF OLD.removed IS NULL THEN {minus}; END IF;
  END IF;
  IF TG_OP <> 'DELETE' THEN
    IF NEW.removed IS NULL THEN {plus}; END IF;
  END IF;
  RETURN NULL;
END $$
"""
_POSTGRESQL_TRIGGERS = (
    "CREATE TRIGGER {table}_counted_rows AFTER INSERT OR DELETE ON {table} FOR EACH ROW"
    " EXECUTE FUNCTION {table}_counted()",
    "CREATE TRIGGER {table}_counted_changes AFTER UPDATE OF removed, account_id ON {table} FOR EACH ROW"
    " WHEN (OLD.removed IS DISTINCT FROM NEW.removed OR OLD.account_id <> NEW.account_id)"
    " EXECUTE FUNCTION {table}_counted()",
)


def counted(table: Table) -> Table:
    """Let the rows of a table be counted."""
    _counted[table.name] = table

    def created(target: Table, connection: Connection, **_: object) -> None:
        for statement in statements(target.name, connection.dialect.name):
            connection.exec_driver_sql(statement)

    event.listen(table, "after_create", created)
    return table


def statements(table: str, dialect: str) -> list[str]:
    """Return the statements that make a table's triggers."""
    if dialect == "postgresql":
        slot = f"mod(pg_backend_pid(), {SLOTS})"
        plus = _ADD.format(table=table, row="NEW", slot=slot, delta=1)
        minus = _ADD.format(table=table, row="OLD", slot=slot, delta=-1)
        function = _POSTGRESQL.format(table=table, plus=plus, minus=minus)
        return [function, *(trigger.format(table=table) for trigger in _POSTGRESQL_TRIGGERS)]
    text, kinds = _SQLITE
    return [
        text.format(
            table=table,
            kind=kind,
            what=what,
            when=when.format(changed=_CHANGED),
            first=_ADD.format(table=table, row=row, slot=0, delta=delta),
        )
        for kind, what, when, row, delta in kinds
    ]


def install(db: Connection, table: str) -> None:
    """Make the triggers of a table that has rows already, and count them (for migrations)."""
    for statement in (*_removals(table, db.dialect.name), *statements(table, db.dialect.name)):
        db.exec_driver_sql(statement)
    rows = sa.table(table, sa.column("id"), sa.column("account_id"), sa.column("removed"))
    for counts, key, group in (
        (row_count, "account_id", rows.c.account_id),
        (row_block, "block", rows.c.id.bitwise_rshift(BLOCK_BITS)),
    ):
        db.execute(sa.delete(counts).where(counts.c.table_name == table))
        found = sa.select(sa.literal(table), group.label("part"), sa.literal(0), sa.func.count()).where(
            rows.c.removed.is_(None)
        )
        db.execute(sa.insert(counts).from_select(["table_name", key, "slot", "n"], found.group_by(sa.text("part"))))


def _removals(table: str, dialect: str) -> list[str]:
    """Return the statements that remove the triggers of an earlier version."""
    if dialect == "postgresql":
        return [f"DROP TRIGGER IF EXISTS {table}_counted_{kind} ON {table}" for kind in ("rows", "changes")]
    return [f"DROP TRIGGER IF EXISTS {table}_counted_{kind}" for kind, *_ in _SQLITE[1]]


def live(db: Connection, table: Table, conditions: Sequence[ColumnElement[bool]] = ()) -> int | None:
    """Return the number of live rows; None when that is not counted.

    ``conditions`` on the table may be about ``account_id`` only.
    """
    if table.name not in _counted:
        return None
    statement = sa.select(sa.func.coalesce(sa.func.sum(row_count.c.n), 0)).where(row_count.c.table_name == table.name)
    for condition in conditions:
        mapped = _about_accounts(condition, table)
        if mapped is None:
            return None
        statement = statement.where(mapped)
    return int(select(db, statement).scalar_one())


def seek(db: Connection, table: Table, offset: int) -> tuple[int, int] | None:
    """Return from which id on, and how many rows further, the live row with this number is (in the order of ids).

    None when the table's rows are not counted, or are fewer.
    """
    if table.name not in _counted:
        return None
    total = sa.func.sum(row_block.c.n)
    blocks = sa.select(row_block.c.block, total).where(row_block.c.table_name == table.name)
    for block, rows in select(db, blocks.group_by(row_block.c.block).order_by(row_block.c.block)):
        if offset < rows:
            return block << BLOCK_BITS, offset
        offset -= int(rows)
    return None


def _about_accounts(condition: ColumnElement[bool], table: Table) -> ColumnElement[bool] | None:
    """Return a condition on the table's ``account_id`` as one on the counters'; None when it is about more."""
    columns: set[Any] = {
        each for each in visitors.iterate(condition) if isinstance(each, sa.Column) and each.table is table
    }
    if columns != {table.c.account_id}:
        return None

    def replace(element: Any, **_: Any) -> Any:
        return row_count.c.account_id if element is table.c.account_id else None

    return visitors.replacement_traverse(condition, {}, replace)
