"""The engine's statements, and the rows that they give."""

# ruff: noqa: S608 (statements are put together from constants of this module only)

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from pileus.core.jobs.prepared import Prepared, id_list, in_list


class Record(msgspec.Struct, kw_only=False):
    """A job's row, as a worker and the hooks see it (fields in the order of RECORD)."""

    id: int
    uuid: str
    workflow: str
    arguments: Any
    key: str | None
    phase: str
    cmd: str
    user_id: int | None
    account_id: int | None
    domain_id: int | None
    role: str
    admin: int
    instance_type: str | None
    instance_uuid: str | None
    event: str | None
    event_start_id: int | None
    request: str
    attempt: int
    deadline: float
    cancel_requested: int
    parent_id: int | None
    parent_step: str | None
    parent_position: int | None
    parent_undo: str | None
    failure: str | None
    created: float
    started: float | None
    result: dict[str, Any] | None = None


class Step(msgspec.Struct):
    """A recorded step."""

    name: str
    position: int
    output: str | None
    error: str | None
    undo: str | None
    undone: int = 0
    tries: int = 0


RECORD = (
    "id, uuid, workflow, arguments, key, phase, cmd, user_id, account_id, domain_id, role, admin, instance_type,"
    " instance_uuid, event, event_start_id, request, attempt, deadline, cancel_requested, parent_id, parent_step,"
    " parent_position, parent_undo, failure, created, started"
)

_INSERT = (
    "INSERT INTO job (uuid, workflow, arguments, key, state,"
    " cmd, user_id, account_id, domain_id, role, admin, instance_type, instance_uuid, event, event_start_id,"
    " request, deadline, parent_id, parent_step, parent_position, parent_undo, created)"
    " VALUES (:uuid, :workflow, :arguments, :key, CASE WHEN EXISTS (SELECT 1 FROM job WHERE key = CAST(:key AS VARCHAR)"
    " AND state IN ('queued', 'ready', 'running', 'waiting')) THEN 'queued' ELSE 'ready' END,"
    " :cmd, :user_id, :account_id, :domain_id, :role, :admin, :instance_type, :instance_uuid, :event, :event_start_id,"
    " :request, :deadline, :parent_id, :parent_step, :parent_position, :parent_undo, :created) RETURNING id, state"
)
insert_job = Prepared(_INSERT)
lock_key = Prepared("SELECT 1", postgresql="SELECT pg_advisory_xact_lock(hashtextextended(:key, 20711))")

_CLAIM = (
    "UPDATE job SET state = 'running', owner = :owner, lease_until = :lease, attempt = attempt + 1, pending = 0,"
    " wake_at = NULL, started = COALESCE(started, :now) WHERE id {} RETURNING " + RECORD
)
claim = Prepared(
    _CLAIM.format("IN (SELECT id FROM job WHERE state = 'ready' ORDER BY id LIMIT :count)"),
    postgresql=_CLAIM.format(
        "= ANY(ARRAY(SELECT id FROM job WHERE state = 'ready' ORDER BY id LIMIT :count FOR UPDATE SKIP LOCKED))"
    ),
)
any_ready = Prepared("SELECT 1 FROM job WHERE state = 'ready' LIMIT 1")
steps_of = in_list(
    "SELECT job_id, name, position, output, error, undo, undone, tries FROM job_step"
    " WHERE job_id IN_LIST(:ids)IN_END ORDER BY job_id, position, at"
)

_HELD = "id = :job AND owner = :owner AND attempt = :attempt AND state = 'running'"
_GUARD = _HELD + " AND (cancel_requested = 0 OR phase = 'undo')"
_STEP = "INSERT INTO job_step (job_id, name, position, output, error, undo, undone, at)"
_RECORD_STEP = _STEP + " SELECT id, :name, :position, :output, :error, :undo, :undone, :now FROM job WHERE " + _GUARD
record_step = Prepared(_RECORD_STEP, postgresql=_RECORD_STEP + " FOR UPDATE")
insert_step = Prepared(
    _STEP + " VALUES (:job, :name, :position, :output, :error, :undo, 0, :now) ON CONFLICT (job_id, name) DO NOTHING"
)
hold = Prepared(f"UPDATE job SET lease_until = :lease WHERE {_GUARD}")
park = Prepared(
    "UPDATE job SET state = 'waiting', owner = NULL, lease_until = NULL, pending = :pending, wake_at = :wake"
    f" WHERE {_GUARD}"
)
finish = Prepared(
    "UPDATE job SET state = 'done', owner = NULL, lease_until = NULL, result = :result, progress = 1,"
    f" completed = :now WHERE {_GUARD}"
)
fail = Prepared(
    "UPDATE job SET state = :state, owner = NULL, lease_until = NULL, result = :result, result_code = :code,"
    f" failure = :failure, completed = :now WHERE {_HELD}"
)
begin_undo = Prepared(f"UPDATE job SET phase = 'undo', failure = :failure WHERE {_HELD}")
give_back = Prepared(
    "UPDATE job SET state = 'ready', owner = NULL, lease_until = NULL WHERE owner = :owner AND state = 'running'"
)
give_back_one = Prepared(
    "UPDATE job SET state = 'ready', owner = NULL, lease_until = NULL WHERE id = :job AND owner = :owner"
    " AND attempt = :attempt AND state = 'running'"
)
release_former = Prepared(
    "UPDATE job SET state = 'ready', owner = NULL, lease_until = NULL WHERE state = 'running'"
    " AND substr(owner, 1, CAST(:length AS INTEGER)) = :prefix"
)
hold_state = Prepared("SELECT owner, attempt, state, cancel_requested FROM job WHERE id = :job")
progress = Prepared(
    f"UPDATE job SET progress = :fraction, progress_text = :text WHERE {_HELD} RETURNING cancel_requested"
)
renew = Prepared("UPDATE job SET lease_until = :lease WHERE owner = :owner AND state = 'running'")

# SQLite uses a partial index only where its condition stands in the statement word for word: so _LIVE beside 'queued'.
_LIVE = "state IN ('queued', 'ready', 'running', 'waiting')"
_FIRST_QUEUED = f"(SELECT id FROM job WHERE key = :key AND state = 'queued' AND {_LIVE} ORDER BY id LIMIT 1)"
promote = Prepared(f"UPDATE job SET state = 'ready' WHERE id = {_FIRST_QUEUED} AND state = 'queued'")
stranded = Prepared(
    f"SELECT DISTINCT q.key FROM job q WHERE q.state = 'queued' AND q.{_LIVE} AND NOT EXISTS"
    " (SELECT 1 FROM job a WHERE a.key = q.key AND a.state IN ('ready', 'running', 'waiting'))"
)
promote_stranded = Prepared(
    f"UPDATE job SET state = 'ready' WHERE id = {_FIRST_QUEUED} AND state = 'queued' AND NOT EXISTS"
    " (SELECT 1 FROM job a WHERE a.key = :key AND a.state IN ('ready', 'running', 'waiting'))"
)
wake_one = Prepared(
    "UPDATE job SET pending = pending - 1, state = CASE WHEN pending <= 1 AND state = 'waiting' THEN 'ready'"
    " ELSE state END WHERE id = :job AND state IN ('waiting', 'ready')"
)
wake_due = Prepared("UPDATE job SET state = 'ready', wake_at = NULL WHERE state = 'waiting' AND wake_at <= :now")
next_wake = Prepared("SELECT MIN(wake_at) FROM job WHERE state = 'waiting'")
expired = Prepared("SELECT 1 FROM job WHERE state = 'running' AND lease_until < :now LIMIT 1")
release_expired = Prepared(
    "UPDATE job SET state = 'ready', owner = NULL, lease_until = NULL WHERE state = 'running' AND lease_until < :now"
)
cancel = Prepared(
    "UPDATE job SET cancel_requested = 1, state = CASE WHEN state = 'waiting' THEN 'ready' ELSE state END"
    " WHERE uuid = :uuid AND phase = 'run' AND state IN ('queued', 'ready', 'running', 'waiting')"
)
cancel_children = Prepared(
    "UPDATE job SET cancel_requested = 1, state = CASE WHEN state = 'waiting' THEN 'ready' ELSE state END"
    " WHERE parent_id = :job AND phase = 'run' AND state IN ('queued', 'ready', 'running', 'waiting')"
)
live_children = Prepared(
    "SELECT COUNT(*) FROM job WHERE parent_id = :job AND state IN ('queued', 'ready', 'running', 'waiting')"
)

undone = Prepared("UPDATE job_step SET undone = :undone WHERE job_id = :job AND name = :name")
undo_tried = Prepared("UPDATE job_step SET tries = :tries WHERE job_id = :job AND name = :name")

insert_operation = Prepared(
    "INSERT INTO outbox (operation, job_id, step, position, undo, host, kind, object, fence, arguments, request,"
    " deadline, state, owner) VALUES (:operation, :job, :step, :position, :undo, :host, :kind, :object, :fence,"
    " :arguments, :request, :deadline, :state, :owner) RETURNING id"
)
_TAKE = (
    "UPDATE outbox SET state = 'sent', owner = :owner WHERE id {} RETURNING id, operation, host, kind, object, fence,"
    " arguments, request, deadline"
)
take_operations = Prepared(
    _TAKE.format("IN (SELECT id FROM outbox WHERE state = 'queued' AND host = :host ORDER BY id LIMIT :count)"),
    postgresql=_TAKE.format(
        "= ANY(ARRAY(SELECT id FROM outbox WHERE state = 'queued' AND host = :host ORDER BY id LIMIT :count"
        " FOR UPDATE SKIP LOCKED))"
    ),
)
backlog = Prepared("SELECT host, COUNT(*) FROM outbox WHERE state = 'queued' GROUP BY host")
answered = Prepared(  # what has no undo needs no arguments any more
    "UPDATE outbox SET state = 'done', owner = NULL,"
    " arguments = CASE WHEN undo IS NULL THEN '{}' ELSE arguments END WHERE id = :id AND state IN ('sent', 'queued')"
    " RETURNING job_id, step, position, undo, host, kind"
)
pending_operations = Prepared(
    "SELECT id, operation, step, position, undo, host, kind, state FROM outbox"
    " WHERE job_id = :job AND state IN ('queued', 'sent')"
)
abandon_operations = Prepared(
    "UPDATE outbox SET state = CASE WHEN state = 'sent' THEN 'abort' ELSE 'done' END WHERE job_id = :job"
    " AND state IN ('queued', 'sent')"
)
to_abort = Prepared(
    "SELECT id, operation, host FROM outbox WHERE owner = :owner AND state = 'abort' AND state IN ('sent', 'abort')"
)
aborted = Prepared("UPDATE outbox SET state = 'done', owner = NULL WHERE id = :id AND state = 'abort'")
forget_arguments = Prepared("UPDATE outbox SET arguments = '{}' WHERE job_id = :job AND arguments <> '{}'")
operation_of_step = Prepared("SELECT host, kind, object, arguments FROM outbox WHERE job_id = :job AND step = :step")
_DEAD = "owner NOT IN (SELECT uuid FROM server WHERE heartbeat > :since)"
orphans = Prepared(f"SELECT 1 FROM outbox WHERE state IN ('sent', 'abort') AND {_DEAD} LIMIT 1")
requeue_orphans = Prepared(
    "UPDATE outbox SET state = CASE WHEN state = 'sent' THEN 'queued' ELSE 'done' END, owner = NULL"
    f" WHERE state IN ('sent', 'abort') AND {_DEAD}"
)


def load_steps(db: Connection, ids: Sequence[int]) -> dict[int, list[Step]]:
    """Return the recorded steps of several jobs, in order, by one query."""
    found: dict[int, list[Step]] = {id_: [] for id_ in ids}
    for row in steps_of(db, ids=id_list(db, ids)):
        found[row[0]].append(Step(*row[1:]))
    return found


def record_of(row: Sequence[Any]) -> Record:
    """Return a row of RECORD as a struct (SQLite holds JSON as text)."""
    record = Record(*row)
    if isinstance(record.arguments, str):
        record.arguments = msgspec.json.decode(record.arguments)
    return record
