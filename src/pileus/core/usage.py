"""What usage will be billed by: one record for each change that begins or ends the use of something.

A record is written in the transaction that makes the change, right beside it, so there is exactly one of it whatever
happens to the server.  The records' types are those of CloudStack's usage events.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import Connection

from pileus.core.database import now
from pileus.core.jobs.prepared import Prepared

_insert = Prepared(
    "INSERT INTO usage_event (type, account_id, domain_id, zone_id, resource_id, resource_uuid, name, offering_id,"
    " template_id, size, virtual_size, kind, created) VALUES (:type, :account_id, :domain_id, :zone_id, :resource_id,"
    " :resource_uuid, :name, :offering_id, :template_id, :size, :virtual_size, :kind, :created)"
)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change of use: what, whose, where, how large."""

    type: str  # VM.CREATE ...
    account_id: int
    domain_id: int
    zone_id: int | None
    resource_id: int
    resource_uuid: str
    name: str
    offering_id: int | None = None
    template_id: int | None = None
    size: int | None = None  # bytes
    virtual_size: int | None = None
    kind: str | None = None  # of the resource: a hypervisor, a traffic type, "source nat" ...


def record(db: Connection, *changes: Change) -> None:
    """Record changes of use, in the transaction that makes them."""
    record_all(db, changes)


def record_all(db: Connection, changes: Iterable[Change]) -> None:
    """Record changes of use, in the transaction that makes them."""
    moment = now()
    rows: list[dict[str, Any]] = [msgspec.structs.asdict(change) | {"created": moment} for change in changes]
    _insert.many(db, rows)
