"""Waiting for a job in a synchronous call, after its commit and outside any transaction."""

from __future__ import annotations

import time

import msgspec
import sqlalchemy as sa

from pileus.core.errors import ApiError, ResourceUnavailable
from pileus.core.jobs.tables import job as job_table
from pileus.core.services import Services

LIMIT = 30.0
"""Seconds after which the call answers although the job goes on."""


class _Refusal(msgspec.Struct):
    errortext: str = "the job failed"
    errorcode: int = 530


class JobRefused(ApiError):
    """What a job ended with, as the call's own error."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def wait(services: Services, job_id: int, limit: float = LIMIT) -> None:
    """Return when the job is done; raise its failure, or ResourceUnavailable when it takes too long."""
    until, pause = time.monotonic() + limit, 0.005
    statement = sa.select(job_table.c.state, job_table.c.result, job_table.c.uuid).where(job_table.c.id == job_id)
    while True:
        with services.database.read() as db:
            row = db.execute(statement).one()
        if row.state == "done":
            return
        if row.state in ("failed", "cancelled"):
            refusal = msgspec.convert(row.result or {}, _Refusal)
            raise JobRefused(refusal.errortext, refusal.errorcode)
        if time.monotonic() > until:
            raise ResourceUnavailable(f"it takes longer than {limit:.0f} s; the work goes on as job {row.uuid}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
