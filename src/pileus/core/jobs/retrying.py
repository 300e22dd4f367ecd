"""``Job.retry``: attempts of a part of a workflow; a failed one is recorded, then undone, then tried anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from sqlalchemy import Connection

from pileus.core.jobs import ledger, sql, undoing
from pileus.core.jobs.errors import OperationFailed, outcome_of
from pileus.core.jobs.sql import Step

if TYPE_CHECKING:
    from pileus.core.jobs.job import Job

log = structlog.get_logger(__name__)
T = TypeVar("T")


def run(job: Job, name: str, fn: Callable[[int, list[dict[str, Any]]], T], times: int, delay: float) -> T:
    """Run the attempts; what has happened in earlier runs of the job is taken from its record."""
    outer = job.prefix
    failures: list[dict[str, Any]] = []
    for attempt in range(1, times + 1):
        marker = f"{outer}{name}/{attempt}"
        recorded = job.ledger.steps.get(marker)
        if recorded is None:
            job.prefix = f"{marker}/"
            try:
                return fn(attempt, list(failures))
            except Exception as error:
                if not getattr(error, "retryable", False):
                    raise
                detail = error.failure.detail if isinstance(error, OperationFailed) else ""
                log.info(
                    "an attempt failed",
                    job=job.uuid,
                    step=marker,
                    reason=str(error),
                    detail=detail,
                    request=job.request,
                )
                recorded = _record(job, marker, error)
            finally:
                job.prefix = outer
        else:
            job.ledger.skip(f"{marker}/", marker)
        if not recorded.undone:
            undoing.undo_all(job, f"{marker}/")
            _close(job, recorded)
        outcome = ledger.outcome(recorded.output or "")
        failures.append(outcome.entry())
        if attempt == times:
            raise outcome.exception()
        if delay:
            job.sleep(f"{name}/wait/{attempt}", delay * 2 ** (attempt - 1))
    raise ValueError(f"retry {name}: times must be at least 1")


def _record(job: Job, marker: str, error: Exception) -> Step:
    """Record that an attempt has failed, before anything of it is undone."""
    output = ledger.encode(outcome_of(error, job.uuid))
    nothing = not job.ledger.to_undo(f"{marker}/")

    def work(db: Connection) -> Step:
        step = job.record_marker(db, marker, output, int(nothing))
        job.runtime.reach(f"{job.record.workflow}/{marker}/before-commit")
        return step

    step = job.runtime.transact(work)
    job.ledger.meet(marker)
    job.ledger.add(step)
    job.runtime.reach(f"{job.record.workflow}/{marker}/after-commit")
    return step


def _close(job: Job, marker: Step) -> None:
    def work(db: Connection) -> None:
        job.hold(db)
        sql.undone(db, undone=1, job=job.id, name=marker.name)

    job.runtime.transact(work)
    marker.undone = 1
