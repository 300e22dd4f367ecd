"""Submitting and cancelling jobs, inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import Connection

from pileus.core.database import new_uuid, now
from pileus.core.jobs import registry, signals, sql


class Submission(msgspec.Struct, frozen=True):
    """A submitted job."""

    id: int
    uuid: str


class EventContext(msgspec.Struct, frozen=True, kw_only=True):
    """The event that a job belongs to; it comes back to ``Hooks.completed`` as JSON in ``record.event``."""

    type: str
    start_id: int | None = None
    text: str = ""
    account_id: int | None = None
    domain_id: int | None = None
    user_id: int | None = None
    resource_type: str | None = None
    resource_uuid: str | None = None


def submit(
    db: Connection,
    workflow_fn: Callable[..., Any],
    *,
    key: str | None,
    arguments: dict[str, Any],
    cmd: str = "",
    user_id: int | None = None,
    account_id: int | None = None,
    domain_id: int | None = None,
    role: str = "",
    instance_type: str | None = None,
    instance_uuid: str | None = None,
    event: Any = None,
    uuid: str | None = None,
    deadline_seconds: float = 3600,
    request: str = "",
    parent: int | None = None,
    admin: bool = False,
    parent_step: tuple[str, int, str | None] | None = None,
) -> Submission:
    """Write a job that begins when this transaction is committed.

    Jobs with the same ``key`` run one after another in the order of their ids.  ``event``: any struct, kept as JSON;
    its ``start_id`` becomes the job's event_start_id.  ``parent_step`` (name, position, undo) is for ``Job.child``.
    """
    if key is not None and db.dialect.name == "postgresql":
        sql.lock_key(db, key=key)  # so that ids on one key are committed in their order
    uuid = uuid or new_uuid()
    step, position, undo = parent_step or (None, None, None)
    row = sql.insert_job(
        db,
        uuid=uuid,
        workflow=registry.name_of(workflow_fn),
        arguments=msgspec.json.encode(arguments).decode(),
        key=key,
        cmd=cmd,
        user_id=user_id,
        account_id=account_id,
        domain_id=domain_id,
        role=role,
        admin=int(admin),
        instance_type=instance_type,
        instance_uuid=instance_uuid,
        event=None if event is None else msgspec.json.encode(event).decode(),
        event_start_id=getattr(event, "start_id", None),
        request=request,
        deadline=(created := now()) + deadline_seconds,
        parent_id=parent,
        parent_step=step,
        parent_position=position,
        parent_undo=undo,
        created=created,
    ).one()
    if row[1] == "ready":
        signals.ready(db)
    return Submission(row[0], uuid)


def cancel(db: Connection, job_uuid: str) -> bool:
    """Ask for the end of a job: it is undone from its next step on; tell whether it was still going forward."""
    found = sql.cancel(db, uuid=job_uuid).rowcount == 1
    if found:
        signals.everywhere(db)
    return found
