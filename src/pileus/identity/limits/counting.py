"""Counts of what each account has, kept by triggers in the transaction of the change itself.

A slice says of a table which rows count and for how much, in SQL; triggers made from that keep ``resource_count``, so
whatever changes a row, crashes or rolls back, the counts stay those of the rows.  The same text recounts them, for
updateResourceCount and the audit.  ``install`` runs at each start of a server: triggers that are missing or differ
are made, and everything is counted then.

On PostgreSQL each connection counts in a slot of its own (of 64), so that transactions of one account do not wait for
one another here; those that a limit bounds wait for the account itself (checking.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.core.counters import SLOTS
from pileus.identity.limits.tables import resource_count
from pileus.identity.limits.types import Kind

PREFIX = "limit_of_"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows of a table count; in the texts ``{r}`` stands for the row."""

    table: str
    when: str  # condition: never NULL
    amounts: Mapping[Kind, str]
    watched: Sequence[str] = ()  # columns other than account_id that amounts depend on
    decides: Sequence[str]  # columns that the condition depends on
    account: str = "{r}.account_id"
    running: str = ""  # narrower condition: what counts under resource.count.running.vms.only


_tags: dict[str, str] = {}
_sources: dict[str, Source] = {}


def register(source: Source) -> None:
    """Register what counts; a table has one source."""
    _sources[source.table] = source


def register_tags(table: str, text: str) -> None:
    """Register the text (in SQL, ",a,b,") of the tags of a row of a table, by its offering."""
    _tags[table] = text


def source_of(kind: Kind) -> tuple[Source, str] | None:
    """Return what counts for a kind, with the text of its rows' tags ("" = they have none)."""
    found = next((source for source in _sources.values() if kind in source.amounts), None)
    return None if found is None else (found, _tags.get(found.table, ""))


def install(db: Connection) -> None:
    """Make the triggers that are missing, drop those that are out of date, and count anew when any was."""
    wanted = {name: text for source in _sources.values() for name, text in _triggers(source, db.dialect.name).items()}
    there = _there(db)
    if set(wanted) == set(there):
        return
    for name in sorted(set(there) - set(wanted)):
        db.exec_driver_sql(f"DROP TRIGGER {name}" + (f" ON {there[name]}" if db.dialect.name == "postgresql" else ""))
    for name in sorted(set(wanted) - set(there)):
        for statement in wanted[name]:
            db.exec_driver_sql(statement)
    mend(db, None)


def _there(db: Connection) -> dict[str, str]:
    """Return the triggers that are there, with their tables."""
    if db.dialect.name == "postgresql":
        text = (
            "SELECT t.tgname, c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
            "WHERE t.tgname LIKE :like AND pg_table_is_visible(c.oid)"
        )
    else:
        text = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger' AND name LIKE :like"
    return {row[0]: row[1] for row in db.execute(sa.text(text), {"like": f"{PREFIX}%"})}


def _triggers(source: Source, dialect: str) -> dict[str, list[str]]:
    """Return the statements that make a table's triggers, by the trigger's name; this changes with the text."""
    made: dict[str, list[str]] = {}
    for kind, (event, when, body) in _bodies(source, dialect).items():
        digest = hashlib.sha256("".join((event, when, *body)).encode()).hexdigest()[:8]
        name = f"{PREFIX}{source.table}_{kind}_{digest}"
        head = f"CREATE TRIGGER {name} AFTER {event} ON {source.table} FOR EACH ROW WHEN ({when})"
        inside = " ".join(f"{statement};" for statement in body)
        if dialect == "postgresql":
            made[name] = [
                f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {inside} "
                "RETURN NULL; END $$",
                f"{head} EXECUTE FUNCTION {name}()",
            ]
        else:
            made[name] = [f"{head} BEGIN {inside} END"]
    return made


def _bodies(source: Source, dialect: str) -> dict[str, tuple[str, str, list[str]]]:
    """Return event, condition and statements of each trigger."""
    differs = "IS DISTINCT FROM" if dialect == "postgresql" else "IS NOT"
    old, new = source.when.format(r="OLD"), source.when.format(r="NEW")
    amounts = sorted(source.amounts.items())
    slot = f"mod(pg_backend_pid(), {SLOTS})" if dialect == "postgresql" else "0"
    plus = [_add(source, "NEW", int(kind), amount, slot) for kind, amount in amounts]
    minus = [_add(source, "OLD", int(kind), f"-({amount})", slot) for kind, amount in amounts]
    columns = dict.fromkeys(("account_id",) if source.account == "{r}.account_id" else ())
    columns |= dict.fromkeys(source.watched)
    changed = " OR ".join([f"({old}) {differs} ({new})", *(f"OLD.{c} {differs} NEW.{c}" for c in columns)])
    watched = ", ".join(dict.fromkeys([*columns, *source.decides]))
    return {
        "insert": ("INSERT", new, plus),
        "delete": ("DELETE", old, minus),
        "update": (f"UPDATE OF {watched}", changed, [*plus, *minus]),
    }


def _add(source: Source, row: str, kind: int, amount: str, slot: str) -> str:
    """Return the statement that counts an amount for a row."""
    account, much, when = (text.format(r=row) for text in (source.account, amount, source.when))
    return (
        "INSERT INTO resource_count (account_id, type, slot, amount) "
        f"SELECT {account}, {kind}, {slot}, {much} WHERE {when} "
        "ON CONFLICT (account_id, type, slot) DO UPDATE SET amount = resource_count.amount + excluded.amount"
    )


def derived(db: Connection, account_ids: Sequence[int] | None) -> dict[tuple[int, int], int]:
    """Return what the rows themselves say: (account, kind) -> amount; ``account_ids``: None = of all."""
    found: dict[tuple[int, int], int] = {}
    for source in _sources.values():
        account, when = (text.format(r=source.table) for text in (source.account, source.when))
        kinds = sorted(source.amounts)
        sums = ", ".join(f"COALESCE(SUM({source.amounts[kind].format(r=source.table)}), 0)" for kind in kinds)
        text = f"SELECT {account}, {sums} FROM {source.table} WHERE {when}"  # noqa: S608 (texts of our own)
        if account_ids is not None:
            text += f" AND {account} IN (" + ", ".join(str(int(id_)) for id_ in account_ids) + ")"
        for row in db.execute(sa.text(text + f" GROUP BY {account}")):
            for kind, amount in zip(kinds, row[1:], strict=True):
                found[(int(row[0]), int(kind))] = int(amount)
    return found


def kept(db: Connection, account_ids: Sequence[int] | None) -> dict[tuple[int, int], int]:
    """Return what is counted: (account, kind) -> amount."""
    counted = resource_count.c
    statement = sa.select(counted.account_id, counted.type, sa.func.sum(counted.amount).label("amount"))
    statement = statement.group_by(counted.account_id, counted.type)
    if account_ids is not None:
        statement = statement.where(resource_count.c.account_id.in_(account_ids))
    return {(row.account_id, row.type): int(row.amount) for row in db.execute(statement)}


def differences(db: Connection, account_ids: Sequence[int] | None) -> dict[tuple[int, int], tuple[int, int]]:
    """Return where the counts are not those of the rows: (account, kind) -> (counted, true); empty unless broken."""
    counted, true = kept(db, account_ids), derived(db, account_ids)
    keys = sorted(set(counted) | set(true))
    return {key: (counted.get(key, 0), true.get(key, 0)) for key in keys if counted.get(key, 0) != true.get(key, 0)}


def mend(db: Connection, account_ids: Sequence[int] | None) -> int:
    """Make the counts those of the rows; return how many were wrong.

    Where something seems wrong, it is looked at once more with nobody counting: transactions may end between one
    reading and the next.
    """
    wrong = differences(db, account_ids)
    if wrong and db.dialect.name == "postgresql":
        db.exec_driver_sql("LOCK TABLE resource_count IN SHARE ROW EXCLUSIVE MODE")
        wrong = differences(db, account_ids)
    for (account_id, kind), (_, true) in wrong.items():
        one = sa.and_(resource_count.c.account_id == account_id, resource_count.c.type == kind)
        db.execute(sa.delete(resource_count).where(one))
        db.execute(sa.insert(resource_count).values(account_id=account_id, type=kind, slot=0, amount=true))
    return len(wrong)
