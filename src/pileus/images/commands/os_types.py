"""Commands of guest operating systems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import Row

from pileus.core.calls import Call
from pileus.core.commands import command
from pileus.core.listing import ListCommand, Query, related
from pileus.core.parameters import Ref
from pileus.images.tables import os_category, os_type


@command("listOsTypes", ignored=("fordisplay",))
class ListOsTypes(ListCommand):
    """List the guest operating systems that templates and machines can name."""

    id: Ref | None = None
    ids: list[Ref] | None = None
    oscategoryid: Ref | None = None
    description: str | None = None

    def query(self, call: Call) -> Query:
        """Return the types that match."""
        columns = os_type.c
        query = Query(os_type).equals(columns.id, self.id).equals(columns.id, self.ids)
        query.equals(columns.category_id, self.oscategoryid).same(columns.name, self.description)
        return query.contains(self.keyword, columns.name)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the types."""
        categories = related(call.db, os_category, (row.category_id for row in rows))
        return [
            {
                "id": row.uuid,
                "name": row.name,
                "description": row.name,
                "oscategoryid": categories[row.category_id].uuid,
                "oscategoryname": categories[row.category_id].name,
                "isuserdefined": row.is_user_defined,
                "fordisplay": True,
            }
            for row in rows
        ]


@command("listOsCategories", ignored=("showicon",))
class ListOsCategories(ListCommand):
    """List the families of guest operating systems."""

    id: Ref | None = None
    name: str | None = None

    def query(self, call: Call) -> Query:
        """Return the categories that match."""
        columns = os_category.c
        return Query(os_category).equals(columns.id, self.id).same(columns.name, self.name).contains(
            self.keyword, columns.name
        )  # fmt: skip

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the categories."""
        return [{"id": row.uuid, "name": row.name} for row in rows]
