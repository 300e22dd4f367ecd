"""What an operator reads from a data folder beside the server: the audit, and the trail of one request; read-only."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from pileus.core import migrations, plugins
from pileus.core.database import Database
from pileus.core.jobs.tables import job, job_step, outbox
from pileus.core.options import Options
from pileus.core.tables import event


class InspectionError(Exception):
    """Why the records of a folder cannot be read, and what to do."""


def audit(data: Path) -> list[str]:
    """Return one sentence for each disagreement between the records of a cloud; an empty list when all is well."""
    from pileus.compute.audit import findings  # the slices must be loaded before their tables are asked

    with _records(data) as db:
        return findings(db)


def trace(data: Path, identifier: str) -> dict[str, list[dict[str, Any]]]:
    """Return jobs, steps, operations and events of a request's id (``X-Request-Id``) or of a job's id."""
    with _records(data) as db:
        asked = sa.or_(job.c.request == identifier, job.c.uuid == identifier)
        jobs = db.execute(sa.select(job).where(asked).order_by(job.c.id)).all()
        requests = {identifier, *(row.request for row in jobs if row.request)}
        if requests != {identifier}:
            jobs = db.execute(sa.select(job).where(job.c.request.in_(requests)).order_by(job.c.id)).all()
        ids = [row.id for row in jobs]
        number = {row.id: row.uuid for row in jobs}
        steps = db.execute(
            sa.select(job_step).where(job_step.c.job_id.in_(ids)).order_by(job_step.c.job_id, job_step.c.position)
        ).all()
        operations = db.execute(sa.select(outbox).where(outbox.c.job_id.in_(ids)).order_by(outbox.c.id)).all()
        events = db.execute(sa.select(event).where(event.c.request.in_(requests)).order_by(event.c.id)).all()
        return {
            "jobs": [
                {"request": row.request, "job": row.uuid, "cmd": row.cmd or row.workflow, "state": row.state}
                for row in jobs
            ],
            "steps": [
                {"job": number[row.job_id], "step": row.name, "state": "failed" if row.error else "done"}
                for row in steps
            ],
            "operations": [
                {"operation": row.operation, "kind": row.kind, "host": row.host, "state": row.state}
                for row in operations
            ],
            "events": [{"event": row.type, "state": row.state, "text": row.description} for row in events],
        }


@contextmanager
def _records(data: Path) -> Generator[Connection]:
    """Open the records of a cloud to read; raises InspectionError when this version cannot read them."""
    plugins.load_all()
    try:
        options = Options.load(data)
    except (OSError, ValueError) as error:
        raise InspectionError(f"{data / 'server' / 'options.json'} cannot be read: {error}") from error
    file = options.home / "pileus.db"
    if not options.database and not file.is_file():  # SQLite would make a new one
        raise InspectionError(f"{file} is missing: the cloud has not been started yet, or its database is elsewhere")
    database = Database(options.database_url)
    try:
        with database.read() as db:
            _refuse_other_schema(db)
            yield db
    except DatabaseError as error:
        why = " ".join(str(error.orig).split())  # PostgreSQL's reasons have several lines
        raise InspectionError(f"the cloud's database cannot be read: {why}") from error
    finally:
        database.close()


def _refuse_other_schema(db: Connection) -> None:
    """Refuse records that another version of Pileus has written."""
    found, known = migrations.version_of(db), migrations.newest()
    if found != known:
        raise InspectionError(
            f"the database has version {found or 'none'} of the schema, this program reads {known}: "
            + ("a newer server wrote it; use that one's program" if (found or "") > known else "start the server once")
        )
