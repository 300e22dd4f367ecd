"""Alerts as operators see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Table
from sqlalchemy.engine import Row

from pileus.core import alerts, entities, instant
from pileus.core.calls import Call, Listed, Success
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter, MissingParameter
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Date, Ref
from pileus.core.rendering import date
from pileus.core.tables import alert

entities.register("Alert", alert, "alert", use=entities.admin_only)

_NAMES = {number: name for name, number in alerts.TYPES.items()}


def type_number(text: str) -> int:
    """Return the number of a type of alert, given by number or by name."""
    if text.strip().isascii() and text.strip().isdigit() and len(text.strip()) < 5:
        return int(text)
    number = alerts.TYPES.get(text.strip().upper())
    if number is None:
        raise InvalidParameter(f"parameter type must be the number or name of a type of alert, not {text[:60]!r}")
    return number


class Chosen(Command):
    """What the commands that archive and delete alerts and events have in common: ids, a type, or a span of time."""

    ids: list[Ref] | None = None
    type: str | None = None
    startdate: Date | None = None
    enddate: Date | None = None

    def check(self) -> None:
        """Check that something is chosen."""
        if not self.ids and not self.type and self.startdate is None and self.enddate is None:
            raise MissingParameter("parameter ids, type, startdate or enddate is needed to say which ones")
        if self.startdate is not None and self.enddate is not None and self.startdate > self.enddate:
            raise InvalidParameter("parameter startdate is after parameter enddate")

    def spanned(self, table: Table) -> list[ColumnElement[bool]]:
        """Return the conditions of ids and dates."""
        found: list[ColumnElement[bool]] = []
        if self.ids:
            found.append(table.c.id.in_([row.id for row in self.ids]))
        if self.startdate is not None:
            found.append(table.c.created >= self.startdate)
        if self.enddate is not None:
            found.append(table.c.created < self.enddate + 1)
        return found

    def chosen(self) -> list[ColumnElement[bool]]:
        """Return the conditions for the alerts that are meant."""
        found = self.spanned(alert)
        if self.type:
            found.append(alert.c.type == type_number(self.type))
        return found


@command("listAlerts")
class ListAlerts(ListCommand):
    """List the alerts that are not archived, the newest first."""

    id: Ref | None = None
    name: str | None = None
    type: str | None = None

    def query(self, call: Call) -> Query:
        """Return the alerts that match."""
        c = alert.c
        query = Query(alert, c.last.desc(), c.id.desc()).where(c.archived.is_(False)).equals(c.id, self.id)
        query.equals(c.type, type_number(self.type) if self.type else None).same(c.name, self.name)
        return query.contains(self.keyword, c.description, c.name)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the alerts."""
        return [
            {
                "id": row.uuid,
                "type": row.type,
                "name": row.name,
                "description": row.description,
                "sent": date(row.last),
            }
            for row in rows
        ]


@command("listAlertTypes")
class ListAlertTypes(Command):
    """List the types of alerts."""

    def run(self, call: Call) -> Listed:
        """Return them by number."""
        items = [{"alerttypeid": number, "name": name} for number, name in sorted(_NAMES.items())]
        return Listed(items, len(items))


@command("archiveAlerts", manage=("ids",))
class ArchiveAlerts(Chosen):
    """Put alerts away: they are no longer listed, and what causes them again is told again."""

    def run(self, call: Call) -> Success:
        """Mark them."""
        call.db.execute(sa.update(alert).where(*self.chosen()).values(archived=True))
        return Success()


@command("deleteAlerts", manage=("ids",))
class DeleteAlerts(Chosen):
    """Delete alerts."""

    def run(self, call: Call) -> Success:
        """Delete them."""
        call.db.execute(sa.delete(alert).where(*self.chosen()))
        return Success()


@command("generateAlert", event="ALERT.GENERATE")
class GenerateAlert(Command):
    """Raise an alert by hand."""

    type: int
    name: str
    description: str
    zoneid: Ref | None = None
    podid: Ref | None = None

    def run(self, call: Call) -> Any:
        """Write it; it is mailed like any other."""
        if self.type not in _NAMES:
            raise InvalidParameter(f"parameter type must be one of {', '.join(map(str, sorted(_NAMES)))}")
        alerts.record(
            call.db,
            _NAMES[self.type],
            self.description,
            name=self.name,
            zone_id=self.zoneid.id if self.zoneid is not None else None,
            pod_id=self.podid.id if self.podid is not None else None,
            repeat=0,
        )
        call.describe(f"raised alert {self.name}")
        return instant.submit(call, {"success": True})
