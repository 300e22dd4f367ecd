"""What the commands of disk and service offerings have in common: who sees them, and how they are changed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table

from pileus.core import database
from pileus.core.calls import Call
from pileus.core.commands import Command
from pileus.core.errors import InvalidParameter
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Ref, RefOrAll
from pileus.infrastructure import model, restricted

ACTIVE, INACTIVE = "Active", "Inactive"
PROVISIONING = ("thin", "sparse", "fat")


class ListOfferings(ListCommand):
    """Base of the lists of offerings that are for the caller; those of a domain or zone only when asked for."""

    id: Ref | None = None
    name: str | None = None
    domainid: Ref | None = None
    projectid: RefOrAll | None = None
    zoneid: Ref | None = None
    state: str = ACTIVE

    def matching(self, call: Call, table: Table) -> Query:
        """Return the offerings that match by what all lists of them filter by; the lowest sort key comes first."""
        columns = table.c
        query = Query(table, columns.sort_key, columns.id).equals(columns.id, self.id).same(columns.name, self.name)
        if self.state.lower() != "all":
            query.same(columns.state, self.state)
        query.where(
            *restricted.visible(
                call.db,
                call.caller,
                table,
                domain=restricted.domain_of(call.db, self.domainid, self.projectid),
                zone_row=self.zoneid,
            )
        )
        return query.contains(self.keyword, columns.name, columns.display_text)


class UpdateOffering(Command):
    """Base of the commands that change an offering."""

    id: Ref
    name: str | None = None
    displaytext: str | None = None
    sortkey: int | None = None
    state: str | None = None
    domainid: str | None = None  # ids separated by commas, or "public"
    zoneid: str | None = None  # ids separated by commas, or "all"

    def check(self) -> None:
        """Check the words."""
        if self.name is not None and not self.name.strip():
            raise InvalidParameter("parameter name may not be empty")
        if self.state is not None:
            self.state = model.one_of("state", self.state, (ACTIVE, INACTIVE))

    def change(self, call: Call, table: Table, kind: str, label: str, more: dict[str, Any]) -> Any:
        """Change what was passed (``more``: columns of this kind, None = not passed), and return the fresh row."""
        row = self.id
        passed: dict[str, Any] = {
            "name": self.name,
            "display_text": self.displaytext,
            "sort_key": self.sortkey,
            "state": self.state,
            **more,
            **restricted.changed(call, self.domainid, self.zoneid),
        }
        changes = {column: value for column, value in passed.items() if value is not None}
        if changes:
            database.change(call.db, table, row.id, **changes)
        call.describe(f"changed {label} {row.name}", resource=(kind, row.uuid))
        return database.one(call.db, table, row.id)


def usable(parameter: str, row: Any, zone: Any) -> None:
    """Refuse an offering that is not active, or not offered in the zone."""
    if row.state != ACTIVE:
        raise InvalidParameter(f"parameter {parameter}: the offering {row.name} is {row.state}; choose another")
    if row.zone_ids and zone.id not in row.zone_ids:
        raise InvalidParameter(f"parameter {parameter}: {row.name} is not offered in zone {zone.name}")
