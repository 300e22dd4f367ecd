"""Commands of regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core.calls import Call, Success
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter
from pileus.core.listing import ListCommand, Query
from pileus.infrastructure import regions
from pileus.infrastructure.tables import region


def view(row: Row[Any]) -> dict[str, Any]:
    """Return a region as clients see it."""
    return {
        "id": row.id,
        "name": row.name,
        "endpoint": row.endpoint,
        "gslbserviceenabled": False,
        "portableipserviceenabled": False,
    }


def _named(call: Call, id_: int) -> Row[Any]:
    row = call.db.execute(sa.select(region).where(region.c.id == id_)).one_or_none()
    if row is None:
        raise InvalidParameter(f"parameter id: there is no region {id_}")
    return row


def _check_endpoint(text: str) -> None:
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidParameter("parameter endpoint must be an http:// or https:// URL")


def _free(call: Call, name: str, but: int = 0) -> None:
    if call.db.execute(sa.select(region.c.id).where(region.c.name == name, region.c.id != but)).first():
        raise InvalidParameter(f"parameter name: there is a region {name[:64]!r} already")


@command("addRegion")
class AddRegion(Command):
    """Make another cloud known as a region."""

    id: int
    name: str
    endpoint: str

    def check(self) -> None:
        """Check id and address."""
        if self.id < 1:
            raise InvalidParameter("parameter id must be a number from 1")
        _check_endpoint(self.endpoint)

    def run(self, call: Call) -> dict[str, Any]:
        """Write the region."""
        if call.db.execute(sa.select(region.c.id).where(region.c.id == self.id)).first():
            raise InvalidParameter(f"parameter id: there is a region {self.id} already")
        _free(call, self.name)
        call.db.execute(sa.insert(region).values(id=self.id, name=self.name, endpoint=self.endpoint))
        return view(_named(call, self.id))


@command("updateRegion", manage=())
class UpdateRegion(Command):
    """Change a region's name or address."""

    id: int
    name: str | None = None
    endpoint: str | None = None

    def check(self) -> None:
        """Check the address."""
        if self.endpoint is not None:
            _check_endpoint(self.endpoint)

    def run(self, call: Call) -> dict[str, Any]:
        """Change what was passed."""
        _named(call, self.id)
        changes = {name: value for name, value in (("name", self.name), ("endpoint", self.endpoint)) if value}
        if self.name:
            _free(call, self.name, but=self.id)
        if changes:
            call.db.execute(sa.update(region).where(region.c.id == self.id).values(**changes))
        return view(_named(call, self.id))


@command("removeRegion", manage=())
class RemoveRegion(Command):
    """Forget a region; the one that this cloud is stays."""

    id: int

    def run(self, call: Call) -> Success:
        """Delete it."""
        row = _named(call, self.id)
        if row.id == regions.OWN:
            raise InvalidParameter("parameter id: this cloud itself is that region; it cannot be removed")
        call.db.execute(sa.delete(region).where(region.c.id == self.id))
        return Success()


@command("listRegions")
class ListRegions(ListCommand):
    """List the regions."""

    id: int | None = None
    name: str | None = None

    def query(self, call: Call) -> Query:
        """Return the regions that match."""
        c = region.c
        return Query(region).equals(c.id, self.id).same(c.name, self.name).contains(self.keyword, c.name)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the regions."""
        return [view(row) for row in rows]
