"""Events: what happened, by whom and to what; written in the transaction of the change itself.

A synchronous command leaves one Completed event.  An asynchronous one leaves Scheduled when it is taken, Started
and Completed when its job has ended; the later two name the first as their parent.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection

from pileus.core import alerts
from pileus.core.calls import Call
from pileus.core.database import new_uuid, now
from pileus.core.jobs.prepared import Prepared
from pileus.core.jobs.sql import Record
from pileus.core.jobs.submission import EventContext

MAX_TEXT = 1024
SYSTEM = 1
"""Internal id of the system's user, account and ROOT domain: whose events are that nobody asked for."""

_INSERT = (
    "INSERT INTO event (uuid, type, state, level, description, user_id, account_id, domain_id, start_id, resource_type,"
    " resource_uuid, request, created) VALUES (:uuid, :type, :state, :level, :description, :user, :account, :domain,"
    " :start, :resource_type, :resource_uuid, :request, COALESCE((SELECT started FROM job WHERE id = :job), :now))"
)
_insert = Prepared(_INSERT)
_insert_first = Prepared(_INSERT + " RETURNING id")
_decode = msgspec.json.Decoder(EventContext).decode


def completed(call: Call) -> None:
    """Record that a synchronous command has done its work."""
    _write(call.db, _facts(call), state="Completed", level="INFO", text=_text(call), request=call.request)


def scheduled(call: Call) -> EventContext:
    """Record that an asynchronous command was taken; the result goes with its job."""
    facts = _facts(call)
    text = _text(call)
    values = _values(facts, "Scheduled", "INFO", f"Scheduled: {text}", request=call.request)
    start = _insert_first(call.db, **values).scalar_one()
    return msgspec.structs.replace(facts, start_id=start, text=text)


def job_ended(db: Connection, record: Record, ok: bool, text: str) -> None:
    """Record, in the transaction that ends a job, that it began and how it ended (hook of the engine)."""
    if not record.event:
        return
    facts = _decode(record.event)
    what = facts.text or record.cmd
    _write(db, facts, "Started", "INFO", f"Started: {what}", request=record.request, began=record.id)
    if ok:
        _write(db, facts, "Completed", "INFO", f"Successfully completed: {what}", request=record.request)
    else:
        _write(db, facts, "Completed", "ERROR", f"Error while: {what}. {text}", request=record.request)


def alert(
    db: Connection,
    type_: str,
    text: str,
    *,
    request: str = "",
    zone_id: int | None = None,
    pod_id: int | None = None,
    cluster_id: int | None = None,
) -> None:
    """Record something that an operator has to look at: an event and an alert; the ids say where it happened."""
    alerts.record(db, type_, text, zone_id=zone_id, pod_id=pod_id, cluster_id=cluster_id)
    facts = EventContext(type=type_, account_id=SYSTEM, domain_id=SYSTEM, user_id=SYSTEM)
    _write(db, facts, "Completed", "ERROR", text, request=request)


def undo_failed(db: Connection, record: Record, step: str, text: str) -> None:
    """Record that an undo of a job has failed for good (hook of the engine)."""
    alert(db, "ALERT.MANAGEMENT", f"Job {record.uuid} ({record.cmd}): step {step} was not undone: {text}")


def _facts(call: Call) -> EventContext:
    account, domain = call.event_owner or (call.caller.account_id, call.caller.domain_id)
    type_, uuid = call.event_resource or (None, None)
    return EventContext(
        type=call.spec.event,
        account_id=account,
        domain_id=domain,
        user_id=call.caller.user_id,
        resource_type=type_,
        resource_uuid=uuid,
    )


def _text(call: Call) -> str:
    return call.description or call.spec.description.rstrip(".")


def _write(
    db: Connection, facts: EventContext, state: str, level: str, text: str, *, request: str = "", began: int = 0
) -> None:
    """Write an event; ``began``: the time is the start of this job."""
    _insert.post(db, **_values(facts, state, level, text, request=request, began=began))


def _values(facts: EventContext, state: str, level: str, text: str, *, request: str, began: int = 0) -> dict[str, Any]:
    return {
        "uuid": new_uuid(),
        "type": facts.type,
        "state": state,
        "level": level,
        "description": text[:MAX_TEXT],
        "user": facts.user_id or SYSTEM,
        "account": facts.account_id or SYSTEM,
        "domain": facts.domain_id or SYSTEM,
        "start": facts.start_id or 0,
        "resource_type": facts.resource_type,
        "resource_uuid": facts.resource_uuid,
        "request": request,
        "job": began,
        "now": now(),
    }
