"""Undoing: recorded steps are taken back in reverse order, each by steps of its own, also after a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from sqlalchemy import Connection

from pileus.core.database import now
from pileus.core.jobs import ledger, registry, sealing, sql
from pileus.core.jobs.errors import CancelledByUser, DeadlinePassed, Parked
from pileus.core.jobs.ledger import UNDO
from pileus.core.jobs.runtime import transient
from pileus.core.jobs.sql import Step

if TYPE_CHECKING:
    from pileus.core.jobs.job import Job, Undoing

log = structlog.get_logger(__name__)


def undo_all(job: Job, prefix: str = "") -> None:
    """Undo every recorded step below a prefix, last first; may leave by a signal and be entered again."""
    for step in job.ledger.to_undo(prefix):
        _undo(job, step)


def _undo(job: Job, step: Step) -> None:
    outer_prefix, outer = job.prefix, job.undoing
    job.prefix = f"{UNDO}{step.name}/{step.tries}/"
    job.ledger.forget(job.prefix)
    try:
        described = job.undoing = _describe(job, step)
        function = registry.undos.get(step.undo or "")
        if function is None:
            raise LookupError(f"no undo is registered as {step.undo}")
        function(job, described.output)
    except (CancelledByUser, DeadlinePassed):
        raise  # of an attempt in job.retry: the whole job is undone instead
    except Exception as error:
        if transient(error):
            raise  # the database is away: the job is given back and goes on here later
        _failed(job, step, error)
    else:
        _mark(job, step, 1)
    finally:
        job.prefix, job.undoing = outer_prefix, outer


def _describe(job: Job, step: Step) -> Undoing:
    from pileus.core.jobs.job import Undoing

    if step.error is not None:
        output, failure = {}, ledger.outcome(step.error)
    else:
        output, failure = ledger.decode(step.output), None
    with job.runtime.database.read() as db:
        row = sql.operation_of_step(db, job=job.id, step=step.name).one_or_none()
    if row is None:
        return Undoing(name=step.name, output=output, failure=failure)
    return Undoing(
        name=step.name,
        output=output,
        failure=failure,
        host=row[0],
        kind=row[1],
        object=row[2],
        arguments=sealing.unseal(job.services, row[3]),
    )


def _mark(job: Job, step: Step, undone: int) -> None:
    def work(db: Connection) -> None:
        job.hold(db)
        sql.undone(db, undone=undone, job=job.id, name=step.name)
        job.runtime.reach(f"{job.record.workflow}/undo:{step.name}/before-commit")

    job.runtime.transact(work)
    step.undone = undone
    job.runtime.reach(f"{job.record.workflow}/undo:{step.name}/after-commit")


def _failed(job: Job, step: Step, error: Exception) -> None:
    """Try again later, or leave the step as it is: somebody has to look."""
    facts = {"job": job.uuid, "workflow": job.record.workflow, "step": step.name, "undo": step.undo}
    tries = step.tries + 1
    if getattr(error, "retryable", False) and tries < job.runtime.undo_tries:
        later = now() + min(60.0, 0.25 * 2**tries)
        log.warning("an undo failed; trying again", tries=tries, reason=str(error), **facts)

        def again(db: Connection) -> None:
            sql.undo_tried(db, tries=tries, job=job.id, name=step.name)
            job.park(db, pending=0, wake=later)

        job.runtime.transact(again)
        raise Parked
    log.error(
        "an undo failed for good: look at the object and repair it by hand",
        request=job.request,
        exc_info=error,
        **facts,
    )

    def give_up(db: Connection) -> None:
        job.hold(db)
        sql.undone(db, undone=2, job=job.id, name=step.name)
        if job.runtime.hooks.failed_undo is not None:
            job.runtime.hooks.failed_undo(db, job.record, step.name, str(error))

    job.runtime.transact(give_up)
    step.undone = 2
