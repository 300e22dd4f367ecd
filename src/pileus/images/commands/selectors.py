"""Commands of secondary storage selectors: rules by which a zone chooses among its image stores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call, Success
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter
from pileus.core.listing import ListCommand, Query, related
from pileus.core.parameters import Ref
from pileus.core.rendering import date
from pileus.images import choosing, rules
from pileus.images.tables import image_selector
from pileus.infrastructure import model
from pileus.infrastructure.tables import zone


def _checked(type_: str, rule: str) -> None:
    try:
        choosing.understood(type_, rule)
    except rules.RuleError as error:
        raise InvalidParameter(f"parameter heuristicrule: {error}") from None


@command("createSecondaryStorageSelector")
class CreateSelector(Command):
    """Choose the image store of what is stored in a zone by a rule: JavaScript whose value is a store's id."""

    name: str
    description: str
    type: str
    zoneid: Ref
    heuristicrule: str

    def check(self) -> None:
        """Check the words, and that the rule is understood."""
        self.type = model.one_of("type", self.type, choosing.TYPES)
        self.name = self.name.strip()
        if not self.name or len(self.name) > 255 or len(self.description) > 4096:
            raise InvalidParameter("parameter name must have 1 to 255 characters, description at most 4096")
        _checked(self.type, self.heuristicrule)

    def run(self, call: Call) -> dict[str, Any]:
        """Create the selector; a zone has one of each type."""
        alive = image_selector.c
        taken = image_selector.select().where(
            alive.zone_id == self.zoneid.id, alive.type == self.type, alive.removed.is_(None)
        )
        found = call.db.execute(taken).one_or_none()
        if found is not None:
            raise InvalidParameter(
                f"zone {self.zoneid.name} has a selector for {self.type} already ({found.name}); "
                "change it by updateSecondaryStorageSelector, or remove it first"
            )
        id_ = database.insert(
            call.db,
            image_selector,
            uuid=database.new_uuid(),
            zone_id=self.zoneid.id,
            name=self.name,
            description=self.description,
            type=self.type,
            rule=self.heuristicrule,
            created=database.now(),
        )
        return view(call.db, [database.one(call.db, image_selector, id_)])[0]


@command("updateSecondaryStorageSelector")
class UpdateSelector(Command):
    """Change the rule of a selector."""

    id: Ref
    heuristicrule: str

    def run(self, call: Call) -> dict[str, Any]:
        """Change the rule."""
        _checked(self.id.type, self.heuristicrule)
        database.change(call.db, image_selector, self.id.id, rule=self.heuristicrule)
        return view(call.db, [database.one(call.db, image_selector, self.id.id)])[0]


@command("removeSecondaryStorageSelector")
class RemoveSelector(Command):
    """Remove a selector: what is stored from now on goes to the freest image store."""

    id: Ref

    def run(self, call: Call) -> Success:
        """Remove the selector; its record stays for lists with showremoved."""
        database.change(call.db, image_selector, self.id.id, removed=database.now())
        return Success()


@command("listSecondaryStorageSelectors")
class ListSelectors(ListCommand):
    """List the selectors of a zone."""

    zoneid: Ref
    type: str | None = None
    showremoved: bool = False

    def check(self) -> None:
        """Check the type."""
        super().check()
        if self.type is not None:
            self.type = model.one_of("type", self.type, choosing.TYPES)

    def query(self, call: Call) -> Query:
        """Return those that match."""
        columns = image_selector.c
        query = Query(image_selector)
        if self.showremoved:
            query.conditions.clear()
        query.equals(columns.zone_id, self.zoneid).equals(columns.type, self.type)
        return query.contains(self.keyword, columns.name, columns.description)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the selectors."""
        return view(call.db, rows)


def view(db: database.Connection, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Return selectors as clients see them."""
    zones = related(db, zone, (row.zone_id for row in rows))
    return [
        {
            "id": row.uuid,
            "name": row.name,
            "description": row.description,
            "zoneid": zones[row.zone_id].uuid,
            "type": row.type,
            "heuristicrule": row.rule,
            "created": date(row.created),
            "removed": date(row.removed),
        }
        for row in rows
    ]
