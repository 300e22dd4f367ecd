"""What accounts have, by kind and tag: from the counts that triggers keep, or summed over the rows themselves.

Amounts by tag, and those of machines that run, are summed when they are asked for: a tag that is named by the setting
today counts what was made yesterday, and nothing can drift.  Nobody pays for it while the settings are empty.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, FromClause

from pileus.core import services
from pileus.identity.limits import counting
from pileus.identity.limits.tables import resource_count
from pileus.identity.limits.types import BY_HOST_TAG, RUNNING_ONLY, Key, Kind


def running_only(db: Connection) -> bool:
    """Tell whether only machines that run count."""
    return services.of(db).settings.get(RUNNING_ONLY)


def table(db: Connection, keys: Iterable[Key]) -> FromClause:
    """Return the amounts of these keys as a table (account_id, type, tag, amount), several rows a key and account."""
    keys, only = list(keys), running_only(db)
    kept = [kind for kind, tag in keys if not tag and not (only and kind in BY_HOST_TAG)]
    columns = resource_count.c
    parts: list[Any] = [
        sa.select(columns.account_id, columns.type, sa.literal("").label("tag"), columns.amount).where(
            columns.type.in_([int(kind) for kind in kept])
        )
    ]
    parts += [_rows(kind, tag, running=only) for kind, tag in keys if tag or kind not in kept]
    return sa.union_all(*parts).subquery("amounts")


def _rows(kind: Kind, tag: str, *, running: bool) -> Any:
    """Return the rows that count for a kind, one by one, as a selection with the columns of ``table``."""
    found = counting.source_of(kind)
    if found is None:
        raise LookupError(f"nothing counts for {kind.name}")
    source, tags = found
    of = source.table
    condition = (source.running if running and source.running else source.when).format(r=of)
    statement: Any = sa.select(
        sa.literal_column(source.account.format(r=of), sa.BigInteger).label("account_id"),
        sa.literal(int(kind)).label("type"),
        sa.literal(tag).label("tag"),
        sa.literal_column(source.amounts[kind].format(r=of), sa.BigInteger).label("amount"),
    ).select_from(sa.table(of))
    statement = statement.where(sa.literal_column(f"({condition})", sa.Boolean))
    if tag:
        text: Any = sa.literal_column(f"({tags.format(r=of)})", sa.String)
        statement = statement.where(text != sa.func.replace(text, f",{tag},", ""))
    return statement


def of_accounts(db: Connection, ids: Iterable[int], keys: Iterable[Key]) -> dict[int, dict[Key, int]]:
    """Return what accounts have: account -> key -> amount."""
    found: dict[int, dict[Key, int]] = {id_: {} for id_ in ids}
    rows = table(db, keys).c
    statement = sa.select(rows.account_id, rows.type, rows.tag, sa.func.sum(rows.amount).label("amount"))
    statement = statement.where(rows.account_id.in_(list(found)))
    for row in db.execute(statement.group_by(rows.account_id, rows.type, rows.tag)):
        found[row.account_id][Kind(row.type), row.tag] = int(row.amount)
    return found


def within(db: Connection, accounts: Any, keys: Iterable[Key]) -> dict[Key, int]:
    """Return what some accounts (a selection of their ids) have together."""
    rows = table(db, keys).c
    statement = sa.select(rows.type, rows.tag, sa.func.sum(rows.amount).label("amount"))
    statement = statement.where(rows.account_id.in_(accounts)).group_by(rows.type, rows.tag)
    return {(Kind(row.type), row.tag): int(row.amount) for row in db.execute(statement)}
