"""How jobs end: done, or undone and failed; what waits for them goes on in the same transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from sqlalchemy import Connection

from pileus.core.database import now
from pileus.core.jobs import convergence, ledger, registry, signals, sql
from pileus.core.jobs.errors import JobFailed, Outcome
from pileus.wire.operations import Failure

if TYPE_CHECKING:
    from pileus.core.jobs.job import Job

log = structlog.get_logger(__name__)

_ABORTED = Failure(code="aborted", message="The operation was given up", retryable=True)


def complete(job: Job, db: Connection, result: Any) -> None:
    """Mark the job done with its result."""
    record = job.record
    text = None if result is None else ledger.encode(result)
    if sql.finish(db, result=text, now=now(), **job.identity()).rowcount != 1:
        job.refused(db)
    sql.forget_arguments.post(db, job=job.id)
    record.result = None if text is None else ledger.decode(text)
    if job.runtime.hooks.completed is not None:
        job.runtime.hooks.completed(db, record, True, "")
    _tell(job, db, text, None)


def begin_undo(job: Job, db: Connection, outcome: Outcome) -> bool:
    """Turn the job back: record why, give up what is on its way; return False when it must first wait for children."""
    record = job.record
    if sql.begin_undo(db, failure=ledger.encode(outcome), **job.identity()).rowcount != 1:
        job.refused(db)
    record.phase, record.failure = "undo", ledger.encode(outcome)
    unsettled = sql.pending_operations(db, job=job.id).all()
    for row in unsettled:
        if row.state == "sent" and row.undo is not None:
            unknown = Outcome(sort="operation", text=_ABORTED.message, failure=_ABORTED, host=row.host, kind=row.kind)
            sql.insert_step.post(
                db,
                job=job.id,
                name=row.step,
                position=row.position,
                output="{}",
                error=ledger.encode(unknown),
                undo=row.undo,
                now=now(),
            )
    if unsettled:
        sql.abandon_operations(db, job=job.id)
        signals.everywhere(db)
    convergence.leave(db, job=job.id)
    children = sql.live_children(db, job=job.id).scalar_one()
    if children:
        sql.cancel_children(db, job=job.id)
        signals.everywhere(db)
        job.park(db, pending=children)
        return False
    job.ledger.reload(sql.load_steps(db, [job.id])[job.id])
    return True


def fail(job: Job, db: Connection, outcome: Outcome, *, bare: bool = False) -> None:
    """Mark the job failed (or cancelled), after ``on_failure``; ``bare`` leaves the callbacks out."""
    record = job.record
    state = "cancelled" if outcome.cancelled else "failed"
    workflow = registry.workflows.get(record.workflow)
    record.result = outcome.result()
    values: dict[str, Any] = {
        "state": state,
        "result": ledger.encode(record.result),
        "code": outcome.code,
        "failure": ledger.encode(outcome),
        "now": now(),
    }
    if sql.fail(db, **values, **job.identity()).rowcount != 1:
        job.refused(db)
    sql.forget_arguments.post(db, job=job.id)
    if not bare:
        if workflow is not None and workflow.on_failure is not None:
            error = JobFailed(outcome.text, code=outcome.code, failure=outcome.failure, host=outcome.host)
            workflow.on_failure(job, db, error)
        if job.runtime.hooks.completed is not None:
            job.runtime.hooks.completed(db, record, False, outcome.text)
    _tell(job, db, None, outcome)


def _tell(job: Job, db: Connection, result: str | None, outcome: Outcome | None) -> None:
    """Let the next job on the key and the parent go on."""
    record = job.record
    if record.key is not None and sql.promote(db, key=record.key).rowcount == 1:
        signals.ready(db)
    if record.parent_id is None:
        return
    error = None
    if outcome is not None:
        error = ledger.encode(
            Outcome(sort="job", text=outcome.text, code=outcome.code, failure=outcome.failure, host=outcome.host)
        )
    sql.insert_step.post(
        db,
        job=record.parent_id,
        name=record.parent_step,
        position=record.parent_position,
        output=result or "null",
        error=error,
        undo=record.parent_undo,
        now=now(),
    )
    if sql.wake_one(db, job=record.parent_id).rowcount == 1:
        signals.ready(db)


def failed_outcome(record: sql.Record) -> Outcome:
    """Return why a job that is being undone has failed."""
    return ledger.outcome(record.failure or ledger.encode(Outcome(sort="other", text="The job failed")))


def msg(outcome: Outcome) -> dict[str, Any]:
    """Return a failure for the log."""
    return msgspec.to_builtins(outcome)
