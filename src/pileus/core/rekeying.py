"""A new key for the secrets in the database: `pileus rekey`.

The key file holds both keys, the new one first, until every secret is encrypted with the new one; so it may end at any
moment and be begun again, and a server that starts meanwhile reads and writes all.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy import Column, Table

from pileus.core.database import Database, now
from pileus.core.options import Options

log = structlog.get_logger(__name__)

ALIVE_SECONDS = 60.0
"""A server whose last sign of life is younger than this may still run."""

_TOKEN = re.compile(r"gAAAAA[A-Za-z0-9_-]{70,}={0,2}")  # version 0x80 and a time of before 2106, in base64
_BATCH = 500

_Place = tuple[Table, Column[Any]]


class RekeyError(Exception):
    """Why there is no new key, and what to do."""


def rekey(data: Path) -> int:
    """Encrypt every secret of a cloud with a new key; return how many there are."""
    options = Options.load(data)
    file = options.home / "secrets.key"
    if not file.exists():
        raise RekeyError(f"{file} is missing: without it the secrets in the database cannot be read")
    database = Database(options.database_url)
    try:
        _refuse_running(database)
        keys = file.read_bytes().split()
        if len(keys) == 1:
            keys = [Fernet.generate_key(), *keys]
            _write(file, keys)
        else:
            log.info("going on with a change of keys that was cut short")
        changed = 0
        while found := _pass(database, keys):
            changed += found
        _write(file, keys[:1])
    finally:
        database.close()
    return changed


def _refuse_running(database: Database) -> None:
    servers = sa.table("server", sa.column("name"), sa.column("heartbeat"))
    young = sa.select(servers.c.name).where(servers.c.heartbeat > now() - ALIVE_SECONDS)
    with database.read() as db:
        running = db.execute(young).scalars().all()
    if running:
        raise RekeyError(
            f"management servers still run, or ended without a word less than {ALIVE_SECONDS:.0f} s ago "
            f"({', '.join(running)}): stop them all first (`pileus down`)"
        )


def _pass(database: Database, keys: list[bytes]) -> int:
    """Encrypt anew what the newest key alone does not decrypt; return how many secrets that were."""
    newest, all_keys = Fernet(keys[0]), MultiFernet([Fernet(key) for key in keys])
    changed = 0

    def renewed(match: re.Match[str]) -> str:
        nonlocal changed
        token = match[0].encode()
        try:
            newest.decrypt(token)
        except InvalidToken:
            pass
        else:
            return match[0]
        try:
            fresh = all_keys.rotate(token).decode()
        except InvalidToken:
            return match[0]  # no secret of this cloud: a text that only looks like one
        changed += 1
        return fresh

    for table, column in _places(database):
        _renew_column(database, table, column, renewed)
    return changed


def _places(database: Database) -> Iterator[_Place]:
    """Yield every column that can hold text: secrets stand in columns of their own and in texts of jobs."""
    inspector = sa.inspect(database.engine)
    for name in inspector.get_table_names():
        keys = set(inspector.get_pk_constraint(name)["constrained_columns"])
        columns = [sa.Column(c["name"], c["type"], primary_key=c["name"] in keys) for c in inspector.get_columns(name)]
        table = Table(name, sa.MetaData(), *columns)
        for column in columns:
            if isinstance(column.type, (sa.String, sa.JSON)) and not column.primary_key:
                yield table, column


def _renew_column(database: Database, table: Table, column: Column[Any], renewed: Any) -> None:
    keys = list(table.primary_key.columns)
    text = sa.cast(column, sa.Text)
    with database.read() as db:
        rows = db.execute(sa.select(*keys, text.label("held")).where(text.like("%gAAAAA%"))).all()
    value = sa.bindparam("fresh", type_=sa.Text)
    # As text, whatever the column is: JSON must not be encoded once more.
    kept = sa.cast(value, column.type) if database.engine.dialect.name != "sqlite" else sa.type_coerce(value, sa.Text)
    change = sa.update(table).values({column: kept}).where(text == sa.bindparam("held"))
    for number, key in enumerate(keys):
        change = change.where(key == sa.bindparam(f"key{number}"))
    altered = [(row, fresh) for row in rows if (fresh := _TOKEN.sub(renewed, row.held)) != row.held]
    for start in range(0, len(altered), _BATCH):
        with database.write() as db:
            for row, fresh in altered[start : start + _BATCH]:
                parts = {f"key{number}": row[number] for number in range(len(keys))}
                db.execute(change, {"fresh": fresh, "held": row.held, **parts})


def _write(file: Path, keys: list[bytes]) -> None:
    """Write the key file whole or not at all, for its former owner alone."""
    owner = file.stat()
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(b"\n".join(keys) + b"\n")
        handle.flush()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
        os.fsync(descriptor)
    fresh.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
