"""Events as API clients see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import Row

from pileus.core import entities
from pileus.core.api.owners import Owners
from pileus.core.calls import Call
from pileus.core.commands import command
from pileus.core.errors import InvalidParameter
from pileus.core.listing import OwnedListCommand, Query, related
from pileus.core.parameters import Date, Ref
from pileus.core.rendering import date
from pileus.core.tables import event

LEVELS = ("INFO", "WARN", "ERROR")
STATES = ("Created", "Scheduled", "Started", "Completed")

entities.register("Event", event, "event")


@command("listEvents")
class ListEvents(OwnedListCommand):
    """List the events that the caller may see, the newest first."""

    id: Ref | None = None
    type: str | None = None
    level: str | None = None
    state: str | None = None
    startid: Ref | None = None
    startdate: Date | None = None
    enddate: Date | None = None
    resourceid: str | None = None
    resourcetype: str | None = None
    archived: bool = False

    def check(self) -> None:
        """Check paging, level, state and the two resource parameters."""
        super().check()
        if self.level is not None and self.level.upper() not in LEVELS:
            raise InvalidParameter(f"parameter level must be one of {', '.join(LEVELS)}")
        if self.state is not None and self.state.capitalize() not in STATES:
            raise InvalidParameter(f"parameter state must be one of {', '.join(STATES)}")
        if self.resourceid is not None and self.resourcetype is None:
            raise InvalidParameter("parameter resourcetype is needed beside resourceid")

    def query(self, call: Call) -> Query:
        """An event whose start is asked for includes that start itself."""
        query = Query(event, event.c.created.desc(), event.c.id.desc())
        query.equals(event.c.id, self.id).equals(event.c.type, self.type)
        query.equals(event.c.level, self.level.upper() if self.level else None)
        query.equals(event.c.state, self.state.capitalize() if self.state else None)
        query.equals(event.c.resource_uuid, self.resourceid).same(event.c.resource_type, self.resourcetype)
        query.contains(self.keyword, event.c.type, event.c.description, event.c.level)
        if self.startid is not None:
            query.where((event.c.id == self.startid.id) | (event.c.start_id == self.startid.id))
        if self.startdate is not None:
            query.where(event.c.created >= self.startdate)
        if self.enddate is not None:
            query.where(event.c.created < self.enddate + 1)
        query.where(event.c.archived.is_(self.archived))
        return self.owned(call, query, by_id=self.id)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        owners = Owners(call.db, rows)
        parents = related(call.db, event, (row.start_id or None for row in rows))
        return [_view(row, owners, parents) for row in rows]


def _view(row: Row[Any], owners: Owners, parents: dict[int, Row[Any]]) -> dict[str, Any]:
    of = owners.fields(row)
    parent = parents.get(row.start_id)
    return {
        "id": row.uuid,
        "username": of["username"],
        "type": row.type,
        "level": row.level,
        "description": row.description,
        "account": of["account"],
        "domainid": of["domainid"],
        "domain": of["domain"],
        "domainpath": of["domainpath"],
        "created": date(row.created),
        "state": row.state,
        "parentid": parent.uuid if parent else None,
        "resourceid": row.resource_uuid,
        "resourcetype": row.resource_type,
        "archived": bool(row.archived),
    }
