"""Commands of guest operating systems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core import database, instant
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InUse, InvalidParameter
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Ref
from pileus.images import os_views
from pileus.images.tables import os_mapping, os_type
from pileus.infrastructure import usage


def free_name(call: Call, category_id: int, name: str, but: int = 0) -> None:
    """Refuse a name that the family has already."""
    c = os_type.c
    same = sa.select(c.id).where(c.category_id == category_id, c.name == name, c.removed.is_(None), c.id != but)
    if call.db.execute(same).first():
        raise InvalidParameter(f"parameter osdisplayname: the category has {name[:64]!r} already")


def _told(call: Call, id_: int, text: str) -> Any:
    row = database.one(call.db, os_type, id_)
    call.describe(f"{text} guest OS {row.name}")
    view = os_views.types(call.db, [row])[0]
    return instant.submit(call, {"ostype": view}, instance=("GuestOs", row.uuid))


@command("addGuestOs", event="GUEST.OS.ADD")
class AddGuestOs(Command):
    """Add a guest operating system that templates and machines can name."""

    osdisplayname: str
    oscategoryid: Ref
    name: str | None = None
    details: dict[str, str] | None = None
    fordisplay: bool = True

    def run(self, call: Call) -> Any:
        """Write it."""
        free_name(call, self.oscategoryid.id, self.osdisplayname)
        id_ = database.insert(
            call.db,
            os_type,
            uuid=database.new_uuid(),
            category_id=self.oscategoryid.id,
            name=self.osdisplayname,
            short_name=self.name or None,
            is_user_defined=True,
            display=self.fordisplay,
            details=self.details or {},
        )
        return _told(call, id_, "added")


@command("updateGuestOs", event="GUEST.OS.UPDATE")
class UpdateGuestOs(Command):
    """Change a guest operating system; the names of those that came with the cloud stay."""

    id: Ref
    osdisplayname: str | None = None
    oscategoryid: Ref | None = None
    details: dict[str, str] | None = None
    fordisplay: bool | None = None

    def run(self, call: Call) -> Any:
        """Change what was passed."""
        row: Row[Any] = self.id
        if self.osdisplayname and self.osdisplayname != row.name and not row.is_user_defined:
            raise InvalidParameter("parameter id: a guest OS that came with the cloud keeps its name")
        category_id = self.oscategoryid.id if self.oscategoryid is not None else row.category_id
        free_name(call, category_id, self.osdisplayname or row.name, but=row.id)
        wanted: dict[str, Any] = {
            "name": self.osdisplayname or None,
            "category_id": category_id,
            "display": self.fordisplay,
            "details": self.details,
        }
        changes = {column: value for column, value in wanted.items() if value is not None}
        database.change(call.db, os_type, row.id, **changes)
        return _told(call, row.id, "changed")


@command("removeGuestOs", event="GUEST.OS.REMOVE")
class RemoveGuestOs(Command):
    """Remove a guest operating system that was added, once nothing names it any more."""

    id: Ref

    def run(self, call: Call) -> Any:
        """Remove it with its mappings."""
        row: Row[Any] = self.id
        if not row.is_user_defined:
            raise InvalidParameter("parameter id: a guest OS that came with the cloud cannot be removed")
        used = usage.users(call.db, os_type, row.id, ignore=frozenset({"os_mapping"}))
        if used:
            raise InUse(f"guest OS {row.name} is used by {', '.join(used)}", uuids=((row.uuid, "id"),))
        call.db.execute(sa.delete(os_mapping).where(os_mapping.c.os_type_id == row.id))
        database.change(call.db, os_type, row.id, removed=database.now())
        call.describe(f"removed guest OS {row.name}")
        return instant.submit(call, {"success": True}, instance=("GuestOs", row.uuid))


@command("listOsTypes")
class ListOsTypes(ListCommand):
    """List the guest operating systems that templates and machines can name."""

    id: Ref | None = None
    ids: list[Ref] | None = None
    oscategoryid: Ref | None = None
    description: str | None = None
    fordisplay: bool | None = None

    def query(self, call: Call) -> Query:
        """Return the types that match; everybody but root admins sees those for display."""
        columns = os_type.c
        query = Query(os_type).equals(columns.id, self.id).equals(columns.id, self.ids)
        query.equals(columns.category_id, self.oscategoryid).same(columns.name, self.description)
        query.equals(columns.display, self.fordisplay if call.caller.admin else True)
        return query.contains(self.keyword, columns.name)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the types."""
        return os_views.types(call.db, rows)
