"""Running a claimed job: forward until it parks or ends; backward once it has failed."""

from __future__ import annotations

import structlog
from sqlalchemy import Connection

from pileus.core.errors import ApiError
from pileus.core.jobs import ending, registry, undoing
from pileus.core.jobs.errors import (
    CancelledByUser,
    DeadlinePassed,
    Detached,
    JobFailed,
    LeaseLost,
    OperationFailed,
    Outcome,
    Parked,
    Signal,
    outcome_of,
)
from pileus.core.jobs.job import Job
from pileus.core.jobs.runtime import Claimed, Runtime, transient

log = structlog.get_logger(__name__)

_EXPECTED = (ApiError, OperationFailed, JobFailed, CancelledByUser, DeadlinePassed)


def run(runtime: Runtime, claimed: Claimed) -> None:
    """Run the job as far as it goes; never raises but for faults of the engine itself."""
    job = Job(runtime, claimed)
    structlog.contextvars.bind_contextvars(job=job.uuid, request=job.request)
    try:
        if claimed.record.phase == "run" and not _forward(job):
            return
        if not job.finished:
            _backward(job)
    except Parked:
        pass
    except Detached:
        _detach(job)
    except LeaseLost:
        log.warning("another server has taken the job; this run has no effect", workflow=claimed.record.workflow)
    except Exception as error:
        if transient(error):
            log.warning("the database does not answer; the job goes on later", reason=str(error))
        else:
            log.exception("the engine failed at a job; it is taken up later", workflow=claimed.record.workflow)
        runtime.dropped.append((job.id, claimed.record.attempt))
    finally:
        structlog.contextvars.unbind_contextvars("job", "request")


def _forward(job: Job) -> bool:
    """Run the workflow; tell whether the job has still to be undone."""
    workflow = registry.workflows.get(job.record.workflow)
    try:
        job.check()
        if workflow is None:
            raise LookupError(f"this server knows no workflow {job.record.workflow}")
        value = workflow.function(job, **job.arguments)
        if not job.finished:
            job.finish("finish", lambda _db: value)
    except Exception as error:
        if transient(error):
            raise
        if job.finished:
            log.exception("a workflow went on after its end", workflow=job.record.workflow)
            return False
        return _turn_back(job, error)
    return False


def _turn_back(job: Job, error: Exception) -> bool:
    outcome = outcome_of(error, job.uuid)
    if isinstance(error, _EXPECTED):
        log.info("a job failed", workflow=job.record.workflow, reason=outcome.text)
    else:
        log.error("a job failed unexpectedly", workflow=job.record.workflow, exc_info=error)

    def work(db: Connection) -> bool:
        ready = ending.begin_undo(job, db, outcome)
        job.runtime.reach(f"{job.record.workflow}/undo/before-commit")
        return ready

    job.detached = None
    job.prefix, job.undoing = "", None
    ready = job.runtime.transact(work)
    job.runtime.reach(f"{job.record.workflow}/undo/after-commit")
    return ready


def _backward(job: Job) -> None:
    """Undo every step, then mark the job failed."""
    outcome = ending.failed_outcome(job.record)
    undoing.undo_all(job)
    job.prefix, job.undoing = "", None

    def work(db: Connection) -> None:
        ending.fail(job, db, outcome)
        job.runtime.reach(f"{job.record.workflow}/failed/before-commit")

    try:
        job.runtime.transact(work)
    except Exception as error:
        if transient(error):
            raise
        log.exception("what follows a failure failed itself; the job ends without it", workflow=job.record.workflow)
        _fail_bare(job, outcome)
    job.runtime.reach(f"{job.record.workflow}/failed/after-commit")


def _fail_bare(job: Job, outcome: Outcome) -> None:
    def work(db: Connection) -> None:
        ending.fail(job, db, outcome, bare=True)
        if job.runtime.hooks.failed_undo is not None:
            job.runtime.hooks.failed_undo(db, job.record, "on_failure", "the object may be left in a transient state")

    job.runtime.transact(work)


def _detach(job: Job) -> None:
    """Go on in the pool for slow work; the lease is kept by the server's heartbeat."""
    if job.detached is None:
        raise RuntimeError("a job was detached without work")
    name, fn = job.detached
    job.detached = None
    runtime = job.runtime

    def work() -> None:
        errors: dict[str, Exception] = {}
        try:
            job.record_local(name, fn())
        except LeaseLost:
            return
        except Signal:
            log.exception("local work must not call steps", job=job.uuid, step=name)
            errors[name] = JobFailed("Local work must not call steps")
        except Exception as error:
            if transient(error):
                runtime.dropped.append((job.id, job.record.attempt))
                return
            errors[name] = error
        steps = sorted(job.ledger.steps.values(), key=lambda step: step.position)
        runtime.ready.append(Claimed(job.record, steps, errors))
        runtime.signals.jobs()

    runtime.pool.submit(work)
