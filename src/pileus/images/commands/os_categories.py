"""Commands of families of guest operating systems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call, Success
from pileus.core.commands import Command, command
from pileus.core.errors import InUse, InvalidParameter
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Ref
from pileus.images import os_views
from pileus.images.tables import os_category, os_type, template, template_copy
from pileus.infrastructure import usage
from pileus.infrastructure.tables import host


def _free_name(call: Call, name: str, but: int = 0) -> None:
    if call.db.execute(sa.select(os_category.c.id).where(os_category.c.name == name, os_category.c.id != but)).first():
        raise InvalidParameter(f"parameter name: there is a category {name[:64]!r} already")


@command("addOsCategory", event="GUEST.OS.CATEGORY.ADD")
class AddOsCategory(Command):
    """Add a family of guest operating systems."""

    name: str
    isfeatured: bool = False

    def run(self, call: Call) -> dict[str, Any]:
        """Write it."""
        _free_name(call, self.name)
        uuid = database.new_uuid()
        id_ = database.insert(
            call.db, os_category, uuid=uuid, name=self.name, is_featured=self.isfeatured, created=database.now()
        )
        call.describe(f"added guest OS category {self.name}", resource=("GuestOsCategory", uuid))
        return os_views.categories([database.one(call.db, os_category, id_)])[0]


@command("updateOsCategory", event="GUEST.OS.CATEGORY.UPDATE")
class UpdateOsCategory(Command):
    """Change a family's name, whether it is featured, and its place in lists (low numbers first)."""

    id: Ref
    name: str | None = None
    isfeatured: bool | None = None
    sortkey: int | None = None

    def run(self, call: Call) -> dict[str, Any]:
        """Change what was passed."""
        row: Row[Any] = self.id
        if self.name:
            _free_name(call, self.name, but=row.id)
        wanted: dict[str, Any] = {
            "name": self.name or None,
            "is_featured": self.isfeatured,
            "sort_key": self.sortkey,
        }
        changes = {column: value for column, value in wanted.items() if value is not None}
        if changes:
            database.change(call.db, os_category, row.id, **changes)
        call.describe(f"changed guest OS category {row.name}", resource=("GuestOsCategory", row.uuid))
        return os_views.categories([database.one(call.db, os_category, row.id)])[0]


@command("deleteOsCategory", event="GUEST.OS.CATEGORY.DELETE")
class DeleteOsCategory(Command):
    """Delete a family that has no guest operating systems any more."""

    id: Ref

    def run(self, call: Call) -> Success:
        """Remove it; its name is free again."""
        row: Row[Any] = self.id
        used = usage.users(call.db, os_category, row.id)
        preferring = sa.select(host.c.name).where(host.c.os_category_id == row.id, host.c.removed.is_(None)).limit(3)
        used += [f"host {name}" for name in call.db.execute(preferring).scalars()]
        if used:
            raise InUse(f"category {row.name} is used by {', '.join(used)}", uuids=((row.uuid, "id"),))
        # The row stays, for operating systems that were removed refer to it; so the name makes way.
        database.change(
            call.db, os_category, row.id, removed=database.now(), name=f"{row.name[:200]} (removed {row.uuid})"
        )
        call.describe(f"deleted guest OS category {row.name}", resource=("GuestOsCategory", row.uuid))
        return Success()


@command("listOsCategories")
class ListOsCategories(ListCommand):
    """List the families of guest operating systems, or those that certain templates belong to."""

    id: Ref | None = None
    name: str | None = None
    isfeatured: bool | None = None
    arch: str | None = None
    isiso: bool | None = None
    isvnf: bool | None = None
    zoneid: Ref | None = None

    def query(self, call: Call) -> Query:
        """Return the categories that match."""
        c = os_category.c
        query = Query(os_category, c.sort_key, c.id).equals(c.id, self.id).same(c.name, self.name)
        query.equals(c.is_featured, self.isfeatured).contains(self.keyword, c.name)
        if self.isvnf:
            query.where(sa.false())  # no template is a network appliance here
        if self.arch is not None or self.isiso is not None or self.zoneid is not None:
            query.where(c.id.in_(self._of_images()))
        return query

    def _of_images(self) -> Any:
        """Return the categories of the images that are asked for."""
        images = Query(template).equals(template.c.architecture, self.arch)
        if self.isiso is not None:
            images.equals(template.c.kind, "iso" if self.isiso else "template")
        if self.zoneid is not None:
            there = sa.select(template_copy.c.template_id).where(template_copy.c.zone_id == self.zoneid.id)
            images.where(template.c.id.in_(there))
        named = sa.select(template.c.os_type_id).where(*images.conditions, template.c.os_type_id.is_not(None))
        return sa.select(os_type.c.category_id).where(os_type.c.id.in_(named))

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the categories."""
        return os_views.categories(rows)
