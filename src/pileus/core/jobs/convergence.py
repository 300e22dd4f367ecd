"""Convergence: objects are brought to the newest desired state, one operation at a time each.

``desire`` numbers a wish; the courier picks objects whose wish is ahead of what is applied, renders their whole state
as it is then, and applies it.  Many wishes under load share one operation.
"""

# ruff: noqa: S608 (statements are put together from constants of this module only)

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import structlog
from sqlalchemy import Connection

from pileus.core.database import Savepoint, now
from pileus.core.jobs import registry, signals, sql
from pileus.core.jobs.errors import Outcome
from pileus.core.jobs.prepared import Prepared, id_list
from pileus.wire.operations import Answer, Failure

log = structlog.get_logger(__name__)

TRIES = 3

_WISH = (
    "INSERT INTO convergence (kind, object_id, desired, applied, attempt, next_try) VALUES (:kind, :object, 1, 0, 0, 0)"
    " ON CONFLICT (kind, object_id) DO UPDATE SET desired = convergence.desired + 1, next_try = 0"
)
_desire = Prepared(_WISH + " RETURNING desired")
_ask = Prepared(_WISH)
_STATES = "SELECT object_id, desired FROM convergence WHERE applied < desired AND kind = :kind AND object_id "
_states = Prepared(
    _STATES + "IN (SELECT value FROM json_each(:objects))",
    postgresql=_STATES + "= ANY(:objects) ORDER BY object_id FOR UPDATE",
)
_desired = Prepared("SELECT desired FROM convergence WHERE kind = :kind AND object_id = :object")
_again = Prepared("UPDATE convergence SET next_try = 0 WHERE kind = :kind AND object_id = :object AND next_try IS NULL")
_wait = Prepared(
    "INSERT INTO convergence_waiter (job_id, step, position, kind, object_id, generation, deadline)"
    " VALUES (:job, :step, :position, :kind, :object, :generation, :deadline)"
)
_PICK = (
    "UPDATE convergence SET in_flight = desired, owner = :owner WHERE {} RETURNING kind, object_id, attempt, in_flight"
)
_DUE = "in_flight IS NULL AND applied < desired AND next_try <= :now ORDER BY next_try LIMIT :count"
_pick = Prepared(
    _PICK.format(f"(kind, object_id) IN (SELECT kind, object_id FROM convergence WHERE {_DUE})"),
    postgresql=_PICK.format(f"ctid = ANY(ARRAY(SELECT ctid FROM convergence WHERE {_DUE} FOR UPDATE SKIP LOCKED))"),
)
_next = Prepared("SELECT MIN(next_try) FROM convergence WHERE in_flight IS NULL AND applied < desired")
_applied = Prepared(
    "UPDATE convergence SET applied = :generation, in_flight = NULL, owner = NULL, attempt = 0, error = NULL"
    " WHERE kind = :kind AND object_id = :object AND owner = :owner AND in_flight IS NOT NULL"
)
_failed = Prepared(
    "UPDATE convergence SET in_flight = NULL, owner = NULL, attempt = attempt + 1, error = :error,"
    " next_try = CASE WHEN desired > :generation THEN :now WHEN :give_up = 1 THEN NULL ELSE :later END"
    " WHERE kind = :kind AND object_id = :object AND owner = :owner AND in_flight IS NOT NULL"
)
_served = Prepared(
    "DELETE FROM convergence_waiter WHERE kind = :kind AND object_id = :object AND generation <= :generation"
    " RETURNING job_id, step, position"
)
_overdue = Prepared(
    "DELETE FROM convergence_waiter WHERE deadline <= :now RETURNING job_id, step, position, kind, object_id"
)
_any_overdue = Prepared("SELECT MIN(deadline) FROM convergence_waiter")
leave = Prepared("DELETE FROM convergence_waiter WHERE job_id = :job")
_DEAD = "in_flight IS NOT NULL AND owner NOT IN (SELECT uuid FROM server WHERE heartbeat > :since)"
_orphans = Prepared(f"SELECT 1 FROM convergence WHERE {_DEAD} LIMIT 1")
_release = Prepared(f"UPDATE convergence SET in_flight = NULL, owner = NULL WHERE {_DEAD}")
_forget = Prepared("DELETE FROM convergence WHERE kind = :kind AND object_id = :object")


class Pick(msgspec.Struct, frozen=True):
    """An object whose state this server is to render and apply."""

    kind: str
    object_id: int
    attempt: int
    generation: int  # what was desired then; rendering may find a newer one


class Waiter(msgspec.Struct, frozen=True):
    """A job that waits at a step for a generation."""

    job: int
    step: str
    position: int
    generation: int
    deadline: float


class Applied(msgspec.Struct, frozen=True):
    """What became of an application."""

    pick: Pick
    generation: int
    answer: Answer | None  # None: there was nothing to apply
    host: int = 0
    operation_kind: str = ""


def desire(db: Connection, kind: str, object_id: int) -> int:
    """Ask in this transaction for the object to be brought to its newest state; return the wish's number."""
    generation: int = _desire(db, kind=kind, object=object_id).scalar_one()
    signals.desired(db)
    return generation


def ask(db: Connection, kind: str, object_ids: Sequence[int]) -> None:
    """Ask in this transaction for objects to be brought to their newest state, without the wishes' numbers."""
    if object_ids:
        _ask.many(db, [{"kind": kind, "object": id_} for id_ in object_ids])
        signals.desired(db)


def desired(db: Connection, kind: str, object_id: int) -> int:
    """Return the number of the object's newest wish (0: there was none)."""
    return _desired(db, kind=kind, object=object_id).scalar_one_or_none() or 0


def forget(db: Connection, kind: str, object_id: int) -> None:
    """Drop the record of an object that is gone for good."""
    _forget(db, kind=kind, object=object_id)


def outstanding(db: Connection, objects: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """Return the wishes that are not applied yet, by kind and object; those that were given up are tried again."""
    by_kind: dict[str, list[int]] = {}
    for kind, object_id in objects:
        if kind not in registry.convergers:
            raise LookupError(f"there is no converger for {kind}")
        by_kind.setdefault(kind, []).append(object_id)
    found: dict[tuple[str, int], int] = {}
    for kind in sorted(by_kind):  # always in the same order, as the rows stay locked
        for object_id, wish in _states(db, kind=kind, objects=id_list(db, by_kind[kind])):
            found[kind, object_id] = wish
            _again.post(db, kind=kind, object=object_id)
    if found:
        signals.desired(db)
    return found


def wait(db: Connection, kind: str, object_id: int, waiter: Waiter) -> None:
    """Let a job's step be recorded when the generation has been applied."""
    _wait.post(db, kind=kind, object=object_id, **msgspec.structs.asdict(waiter))


def pick(db: Connection, owner: str, count: int) -> list[Pick]:
    """Take objects that are due; nobody else takes them until their application has ended."""
    return [Pick(*row) for row in _pick(db, owner=owner, now=now(), count=count)]


def next_due(db: Connection) -> float | None:
    """Return when the next object is due."""
    return _next(db).scalar_one()


def record(db: Connection, owner: str, done: Applied) -> list[int]:
    """Record what became of an application; return the jobs that it woke."""
    failure = None
    if done.answer is not None and done.answer.state != "done":
        failure = done.answer.failure or Failure(code=done.answer.state, message="The host did not do it")
    if failure is None:
        failure = _record_applied(db, owner, done)
        if failure is None:
            return _serve(db, done, None)
    return _record_failed(db, owner, done, failure)


def _record_applied(db: Connection, owner: str, done: Applied) -> Failure | None:
    key = {"kind": done.pick.kind, "object": done.pick.object_id}
    if done.answer is not None:
        place = Savepoint(db)
        try:
            registry.convergers[done.pick.kind].applied(db, done.pick.object_id, done.generation, done.answer.result)
            place.release(checked=True)
        except Exception:
            place.roll_back()
            log.exception("applied() of a converger failed; the object is applied again", **key)
            return Failure(code="internal", message="The applied state could not be recorded", retryable=True)
    _applied.post(db, generation=done.generation, owner=owner, **key)
    return None


def _record_failed(db: Connection, owner: str, done: Applied, failure: Failure) -> list[int]:
    """Plan the next try; give up after some, or at once when it cannot help, until the next wish."""
    key = {"kind": done.pick.kind, "object": done.pick.object_id}
    attempt = done.pick.attempt + 1
    give_up = not failure.retryable or attempt % TRIES == 0
    found = _failed(
        db,
        generation=done.generation,
        owner=owner,
        error=failure.message,
        give_up=int(give_up),
        now=now(),
        later=now() + 0.5 * 2 ** (attempt % TRIES),
        **key,
    )
    if found.rowcount != 1:
        return []
    log.warning(
        "a desired state was not applied" + ("; waiting for the next wish" if give_up else "; trying again"),
        host=done.host,
        generation=done.generation,
        failure=failure.code,
        reason=failure.message,
        **key,
    )
    if not give_up:
        return []
    try:
        with db.begin_nested():
            registry.convergers[done.pick.kind].failed(db, done.pick.object_id, done.generation, failure)
    except Exception:
        log.exception("failed() of a converger failed", **key)
    return _serve(db, done, failure)


def _serve(db: Connection, done: Applied, failure: Failure | None) -> list[int]:
    rows = _served(db, kind=done.pick.kind, object=done.pick.object_id, generation=done.generation).all()
    return _answer_waiters(db, [(*row[:3], done.operation_kind, done.host) for row in rows], failure)


def _answer_waiters(db: Connection, rows: list[Any], failure: Failure | None) -> list[int]:
    for job, step, position, kind, host in sorted(rows):
        error = None
        if failure is not None:
            error = msgspec.json.encode(
                Outcome(sort="operation", text=failure.message, failure=failure, host=host, kind=kind)
            ).decode()
        sql.insert_step.post(
            db, job=job, name=step, position=position, output="null", error=error, undo=None, now=now()
        )
        sql.wake_one.post(db, job=job)
    return [row[0] for row in rows]


def next_overdue(db: Connection) -> float | None:
    """Return the earliest deadline of a waiting job."""
    return _any_overdue(db).scalar_one()


def expire_waiters(db: Connection) -> int:
    """Fail the steps of jobs that have waited too long; return how many."""
    rows = _overdue(db, now=now()).all()
    late = Failure(code="timeout", message="The desired state was not applied in time", retryable=True)
    return len(_answer_waiters(db, [(*row[:3], row[3], 0) for row in rows], late))


def orphaned(db: Connection, since: float) -> bool:
    """Tell whether servers that gave no sign of life since then have objects in flight."""
    return _orphans(db, since=since).one_or_none() is not None


def release(db: Connection, since: float) -> None:
    """Let others pick what dead servers have in flight."""
    _release(db, since=since)
