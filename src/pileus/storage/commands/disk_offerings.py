"""Commands of disk offerings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call, Success
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter, MissingParameter, PermissionDenied
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Ref, RefOrAll
from pileus.core.sizes import LARGEST_VOLUME
from pileus.infrastructure import model, restricted
from pileus.storage.tables import disk_offering
from pileus.storage.views_offerings import GIB, disk_offerings


@command("createDiskOffering", event="DISK.OFFERING.CREATE")
class CreateDiskOffering(Command):
    """Create a disk offering: a size for data disks, or with customized the choice of one."""

    name: str
    displaytext: str | None = None
    disksize: int | None = None
    customized: bool = False
    disksizestrictness: bool = False
    displayoffering: bool = True
    domainid: list[Ref] | None = None
    zoneid: list[Ref] | None = None
    storagetype: str = "shared"
    provisioningtype: str = "thin"
    cachemode: str = "none"
    tags: str | None = None
    details: dict[str, str] | None = None
    customizediops: bool = False
    encrypt: bool = False

    def check(self) -> None:
        """Check the words, and that there is a size or a choice of one."""
        self.storagetype = model.one_of("storagetype", self.storagetype, ("shared", "local"))
        self.provisioningtype = model.one_of("provisioningtype", self.provisioningtype, ("thin",))
        self.cachemode = model.one_of("cachemode", self.cachemode, ("none",))
        restricted.refuse_set(self, "customizediops", "encrypt")
        if self.customized and self.disksize:
            raise InvalidParameter("parameter disksize does not go together with customized=true")
        if not self.customized and self.disksize is None:
            raise MissingParameter("parameter disksize is needed unless customized=true")

    def run(self, call: Call) -> dict[str, Any]:
        """Create the offering."""
        largest = call.services.settings.get(LARGEST_VOLUME)
        if not self.customized and not 1 <= (self.disksize or 0) <= largest:
            raise InvalidParameter(f"parameter disksize must be between 1 and {largest} (GiB)")
        uuid = database.new_uuid()
        id_ = database.insert(
            call.db,
            disk_offering,
            uuid=uuid,
            name=self.name,
            display_text=self.displaytext or self.name,
            size=(self.disksize or 0) * GIB,
            customized=self.customized,
            customized_iops=False,
            storage_type=self.storagetype,
            provisioning=self.provisioningtype,
            tags=model.pack_tags("tags", self.tags),
            cache_mode=self.cachemode,
            strict_size=self.disksizestrictness,
            display=self.displayoffering,
            details=self.details or {},
            created=database.now(),
            **restricted.chosen(call, self.domainid, self.zoneid),
        )
        call.describe(f"created disk offering {self.name}", resource=("DiskOffering", uuid))
        return disk_offerings(call.db, [database.one(call.db, disk_offering, id_)], admin=call.caller.admin)[0]


@command("listDiskOfferings", ignored=("account", "isrecursive", "listall"))
class ListDiskOfferings(ListCommand):
    """List the disk offerings that are for the caller."""

    id: Ref | None = None
    name: str | None = None
    domainid: Ref | None = None
    projectid: RefOrAll | None = None
    zoneid: Ref | None = None
    storagetype: str | None = None
    state: str = "Active"
    encrypt: bool | None = None

    def query(self, call: Call) -> Query:
        """Return the offerings that match."""
        columns = disk_offering.c
        query = (
            Query(disk_offering, columns.sort_key, columns.id)
            .equals(columns.id, self.id)
            .equals(columns.encrypt, self.encrypt)
        )
        query.same(columns.name, self.name).same(columns.storage_type, self.storagetype)
        if self.state.lower() != "all":
            query.same(columns.state, self.state)
        if not call.caller.admin:
            query.where(columns.display.is_(sa.true()))
        query.where(
            *restricted.visible(
                call.db,
                call.caller,
                disk_offering,
                domain=restricted.domain_of(call.db, self.domainid, self.projectid),
                zone_row=self.zoneid,
            )
        )
        return query.contains(self.keyword, columns.name, columns.display_text)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the disk offerings."""
        return disk_offerings(call.db, rows, admin=call.caller.admin)


@command("updateDiskOffering", event="DISK.OFFERING.EDIT")
class UpdateDiskOffering(Command):
    """Change a disk offering; volumes that were made from it stay as they are."""

    id: Ref
    name: str | None = None
    displaytext: str | None = None
    displayoffering: bool | None = None
    sortkey: int | None = None
    state: str | None = None
    domainid: str | None = None  # ids separated by commas, or "public"
    zoneid: str | None = None  # ids separated by commas, or "all"
    tags: str | None = None

    def check(self) -> None:
        """Check the words."""
        if self.name is not None and not self.name.strip():
            raise InvalidParameter("parameter name may not be empty")
        if self.state is not None:
            self.state = model.one_of("state", self.state, ("Active", "Inactive"))

    def run(self, call: Call) -> dict[str, Any]:
        """Change what was passed."""
        row = self.id
        if self.tags is not None and not call.caller.admin:
            raise PermissionDenied("parameter tags: only root admins see and change the tags of offerings")
        passed: dict[str, Any] = {
            "name": self.name,
            "display_text": self.displaytext,
            "display": self.displayoffering,
            "sort_key": self.sortkey,
            "state": self.state,
            "tags": None if self.tags is None else model.pack_tags("tags", self.tags),
            **restricted.changed(call, self.domainid, self.zoneid),
        }
        changes = {column: value for column, value in passed.items() if value is not None}
        if changes:
            database.change(call.db, disk_offering, row.id, **changes)
        call.describe(f"changed disk offering {row.name}", resource=("DiskOffering", row.uuid))
        fresh = database.one(call.db, disk_offering, row.id)
        return disk_offerings(call.db, [fresh], admin=call.caller.admin)[0]


@command("deleteDiskOffering", event="DISK.OFFERING.DELETE")
class DeleteDiskOffering(Command):
    """Delete a disk offering; volumes that were made from it stay as they are."""

    id: Ref

    def run(self, call: Call) -> Success:
        """Remove the offering."""
        database.change(call.db, disk_offering, self.id.id, removed=database.now(), state="Inactive")
        call.describe(f"deleted disk offering {self.id.name}", resource=("DiskOffering", self.id.uuid))
        return Success()
