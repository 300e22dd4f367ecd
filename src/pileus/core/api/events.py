"""Events as API clients see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection
from sqlalchemy.engine import Row

from pileus.core import alerts, commands, database, entities, listing
from pileus.core.api.alerts import Chosen
from pileus.core.api.owners import Owners
from pileus.core.calls import Call, Listed, Success
from pileus.core.commands import Command, command
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
    duration: int | None = None
    entrytime: int | None = None

    def check(self) -> None:
        """Check paging, level, state and the two resource parameters."""
        super().check()
        if self.level is not None and self.level.upper() not in LEVELS:
            raise InvalidParameter(f"parameter level must be one of {', '.join(LEVELS)}")
        if self.state is not None and self.state.capitalize() not in STATES:
            raise InvalidParameter(f"parameter state must be one of {', '.join(STATES)}")
        if self.resourceid is not None and self.resourcetype is None:
            raise InvalidParameter("parameter resourcetype is needed beside resourceid")
        if (self.duration is None) != (self.entrytime is None):
            raise InvalidParameter("parameters duration and entrytime (seconds) go together")
        if self.duration is not None and not 0 <= self.duration < (self.entrytime or 0):
            raise InvalidParameter("parameter entrytime must be greater than parameter duration")

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
        if self.duration is not None and self.entrytime is not None:
            query.where(*_unfinished(self.duration, self.entrytime))
        query.where(event.c.archived.is_(self.archived))
        return self.owned(call, query, by_id=self.id)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        owners = Owners(call.db, rows)
        parents = related(call.db, event, (row.start_id or None for row in rows))
        names = _names(call.db, rows)
        return [_view(row, owners, parents) | {"resourcename": names.get(row.resource_uuid)} for row in rows]


def _unfinished(duration: int, entry: int) -> list[ColumnElement[bool]]:
    """Return the conditions for what began within ``entry`` seconds and was not done ``duration`` seconds later."""
    moment = database.now()
    later = event.alias("later")
    done = sa.select(sa.literal(1)).where(later.c.start_id == event.c.id, later.c.state == "Completed")
    return [
        event.c.start_id == 0,
        event.c.state != "Completed",
        event.c.created.between(moment - entry, moment - duration),
        ~done.correlate(event).exists(),
    ]


def _names(db: Connection, rows: Sequence[Row[Any]]) -> dict[str | None, str]:
    """Return the names of the objects that events are about: one query for each kind of object on the page."""
    by_kind: dict[str, set[str]] = {}
    for row in rows:
        if row.resource_type and row.resource_uuid:
            by_kind.setdefault(row.resource_type, set()).add(row.resource_uuid)
    found: dict[str | None, str] = {}
    for kind, uuids in by_kind.items():
        entity = entities.known(kind)
        label = "" if entity is None else next((n for n in ("name", "username") if n in entity.table.c), "")
        if entity is not None and label:
            table = entity.table
            named = sa.select(table.c.uuid, table.c[label]).where(table.c.uuid.in_(sorted(uuids)))
            found.update((row[0], row[1]) for row in db.execute(named))
    return found


class ChosenEvents(Chosen):
    """What archiving and deleting events have in common."""

    def chosen_of(self, call: Call) -> list[ColumnElement[bool]]:
        """Return the conditions for the events that are meant, of those that the caller may see."""
        seen = listing.scope(call.db, call.caller, event, listall=True, named=bool(self.ids))
        found = [*self.spanned(event), *seen]
        if self.type:
            found.append(event.c.type == self.type)
        return found


@command("archiveEvents", manage=("ids",))
class ArchiveEvents(ChosenEvents):
    """Put events away: they are listed with archived=true only."""

    def run(self, call: Call) -> Success:
        """Mark them."""
        call.db.execute(sa.update(event).where(*self.chosen_of(call)).values(archived=True))
        return Success()


@command("deleteEvents", manage=("ids",))
class DeleteEvents(ChosenEvents):
    """Delete events."""

    def run(self, call: Call) -> Success:
        """Delete them."""
        call.db.execute(sa.delete(event).where(*self.chosen_of(call)))
        return Success()


@command("listEventTypes")
class ListEventTypes(Command):
    """List the types of events that this server writes."""

    def run(self, call: Call) -> Listed:
        """Return their names: those of its commands, and of what it finds by itself."""
        names = {spec.event for spec in commands.commands().values() if spec.event} | set(alerts.TYPES)
        return Listed([{"name": name} for name in sorted(names)], len(names))


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
        "project": of["project"],
        "projectid": of["projectid"],
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
