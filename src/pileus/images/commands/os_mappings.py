"""Commands of what hypervisors call guest operating systems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core import database, instant
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter, MissingParameter
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Ref
from pileus.images import os_views
from pileus.images.tables import os_mapping, os_type

HYPERVISORS = ("KVM", "Simulator")


def hypervisor(text: str) -> str:
    """Return a hypervisor's name as it is written."""
    found = next((name for name in HYPERVISORS if name.lower() == text.strip().lower()), None)
    if found is None:
        raise InvalidParameter(f"parameter hypervisor must be one of {', '.join(HYPERVISORS)}, not {text[:40]!r}")
    return found


def _refuse_check(asked: bool) -> None:
    if asked:
        raise InvalidParameter(
            "parameter osmappingcheckenabled=true: KVM has no list of operating systems to check names against"
        )


def _told(call: Call, id_: int, text: str) -> Any:
    row = database.one(call.db, os_mapping, id_)
    call.describe(f"{text} guest OS mapping {row.os_name}")
    view = os_views.mappings(call.db, [row])[0]
    return instant.submit(call, {"guestosmapping": view}, instance=("GuestOsMapping", row.uuid))


@command("addGuestOsMapping", event="GUEST.OS.MAPPING.ADD")
class AddGuestOsMapping(Command):
    """Say what a hypervisor calls a guest operating system; forced replaces what was said before."""

    hypervisor: str
    hypervisorversion: str
    osnameforhypervisor: str
    ostypeid: Ref | None = None
    osdisplayname: str | None = None
    osmappingcheckenabled: bool = False
    forced: bool = False

    def check(self) -> None:
        """Check the hypervisor, and that a guest OS is named."""
        self.hypervisor = hypervisor(self.hypervisor)
        _refuse_check(self.osmappingcheckenabled)
        if self.ostypeid is None and not self.osdisplayname:
            raise MissingParameter("parameter ostypeid or osdisplayname is needed")

    def run(self, call: Call) -> Any:
        """Write it."""
        of = self._os(call)
        c = os_mapping.c
        same = sa.and_(
            c.os_type_id == of.id, c.hypervisor == self.hypervisor, c.hypervisor_version == self.hypervisorversion
        )
        former = call.db.execute(sa.select(os_mapping).where(same)).one_or_none()
        if former is not None and not (self.forced and former.is_user_defined):
            raise InvalidParameter(
                f"{of.name} has a name for {self.hypervisor} {self.hypervisorversion} already: {former.os_name!r}; "
                "forced=true replaces one that was added"
            )
        if former is not None:
            database.change(call.db, os_mapping, former.id, os_name=self.osnameforhypervisor)
            return _told(call, former.id, "replaced")
        id_ = database.insert(
            call.db,
            os_mapping,
            uuid=database.new_uuid(),
            os_type_id=of.id,
            hypervisor=self.hypervisor,
            hypervisor_version=self.hypervisorversion,
            os_name=self.osnameforhypervisor,
            is_user_defined=True,
            created=database.now(),
        )
        return _told(call, id_, "added")

    def _os(self, call: Call) -> Row[Any]:
        if self.ostypeid is not None:
            return self.ostypeid
        found = call.db.execute(
            sa.select(os_type).where(os_type.c.name == self.osdisplayname, os_type.c.removed.is_(None)).limit(1)
        ).one_or_none()
        if found is None:
            raise InvalidParameter(f"parameter osdisplayname names no guest OS ({(self.osdisplayname or '')[:64]})")
        return found


@command("updateGuestOsMapping", event="GUEST.OS.MAPPING.UPDATE")
class UpdateGuestOsMapping(Command):
    """Change what a hypervisor calls a guest operating system."""

    id: Ref
    osnameforhypervisor: str
    osmappingcheckenabled: bool = False

    def check(self) -> None:
        """Refuse what cannot be checked."""
        _refuse_check(self.osmappingcheckenabled)

    def run(self, call: Call) -> Any:
        """Change it."""
        if not self.id.is_user_defined:
            raise InvalidParameter("parameter id: a mapping that came with the cloud cannot be changed")
        database.change(call.db, os_mapping, self.id.id, os_name=self.osnameforhypervisor)
        return _told(call, self.id.id, "changed")


@command("removeGuestOsMapping", event="GUEST.OS.MAPPING.REMOVE")
class RemoveGuestOsMapping(Command):
    """Remove a mapping that was added."""

    id: Ref

    def run(self, call: Call) -> Any:
        """Delete it."""
        if not self.id.is_user_defined:
            raise InvalidParameter("parameter id: a mapping that came with the cloud cannot be removed")
        call.db.execute(sa.delete(os_mapping).where(os_mapping.c.id == self.id.id))
        call.describe(f"removed guest OS mapping {self.id.os_name}")
        return instant.submit(call, {"success": True}, instance=("GuestOsMapping", self.id.uuid))


@command("listGuestOsMapping")
class ListGuestOsMapping(ListCommand):
    """List what hypervisors call guest operating systems."""

    id: Ref | None = None
    hypervisor: str | None = None
    hypervisorversion: str | None = None
    ostypeid: Ref | None = None
    osdisplayname: str | None = None
    osnameforhypervisor: str | None = None

    def query(self, call: Call) -> Query:
        """Return the mappings that match."""
        c = os_mapping.c
        query = Query(os_mapping).equals(c.id, self.id).same(c.hypervisor, self.hypervisor)
        query.equals(c.hypervisor_version, self.hypervisorversion).equals(c.os_type_id, self.ostypeid)
        query.equals(c.os_name, self.osnameforhypervisor).contains(self.keyword, c.os_name, c.hypervisor)
        if self.osdisplayname is not None:
            query.where(c.os_type_id.in_(sa.select(os_type.c.id).where(os_type.c.name == self.osdisplayname)))
        return query

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the mappings."""
        return os_views.mappings(call.db, rows)


@command("getHypervisorGuestOsNames", event="GUEST.OS.HYPERVISOR.NAME.FETCH", reads=False)
class GetHypervisorGuestOsNames(Command):
    """List the names of guest operating systems of a hypervisor, as far as mappings say them."""

    hypervisor: str
    hypervisorversion: str
    keyword: str | None = None

    def check(self) -> None:
        """Check the hypervisor."""
        self.hypervisor = hypervisor(self.hypervisor)

    def run(self, call: Call) -> Any:
        """Tell the names."""
        c = os_mapping.c
        query = Query(os_mapping).equals(c.hypervisor, self.hypervisor)
        query.equals(c.hypervisor_version, self.hypervisorversion).contains(self.keyword, c.os_name)
        rows = call.db.execute(sa.select(os_mapping).where(*query.conditions).order_by(c.os_name)).all()
        names = [
            {"osnameforhypervisor": view["osnameforhypervisor"], "osdisplayname": view["osdisplayname"]}
            for view in os_views.mappings(call.db, rows)
        ]
        answer: dict[str, Any] = {
            "hypervisor": self.hypervisor,
            "hypervisorversion": self.hypervisorversion,
            "guestoscount": len(names),
            "guestoslist": names,
        }
        call.describe(f"fetched the names of guest OSes of {self.hypervisor} {self.hypervisorversion}")
        return instant.submit(call, {"hypervisorguestosnames": answer})
