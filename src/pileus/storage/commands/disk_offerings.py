"""Commands of disk offerings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call, Success
from pileus.core.commands import Command, command
from pileus.core.errors import InUse, InvalidParameter, MissingParameter
from pileus.core.listing import Query
from pileus.core.parameters import Ref
from pileus.core.sizes import LARGEST_VOLUME
from pileus.infrastructure import model, restricted
from pileus.storage import qos, suitable
from pileus.storage.offerings import PROVISIONING, ListOfferings, UpdateOffering
from pileus.storage.tables import disk_offering, storage_pool
from pileus.storage.views_offerings import GIB, disk_offerings


@command("createDiskOffering", event="DISK.OFFERING.CREATE")
class CreateDiskOffering(qos.DiskCommand):
    """Create a disk offering: a size for disks, or with customized the choice of one, and how fast they may be."""

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
    tags: str | None = None
    details: dict[str, str] | None = None
    encrypt: bool = False

    def check(self) -> None:
        """Check the words, and that there is a size or a choice of one."""
        self.storagetype = model.one_of("storagetype", self.storagetype, ("shared", "local"))
        self.provisioningtype = model.one_of("provisioningtype", self.provisioningtype, PROVISIONING)
        restricted.refuse_set(self, "encrypt")
        self.check_disk()
        if self.customized and self.disksize:
            raise InvalidParameter("parameter disksize does not go together with customized=true")
        if not self.customized and self.disksize is None:
            raise MissingParameter("parameter disksize is needed unless customized=true")

    def run(self, call: Call) -> dict[str, Any]:
        """Create the offering."""
        restricted.check_tags(call, tags=self.tags)
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
            storage_type=self.storagetype,
            provisioning=self.provisioningtype,
            tags=model.pack_tags("tags", self.tags),
            strict_size=self.disksizestrictness,
            display=self.displayoffering,
            details=self.details or {},
            created=database.now(),
            **self.disk_columns(call.services),
            **restricted.chosen(call, self.domainid, self.zoneid),
        )
        call.describe(f"created disk offering {self.name}", resource=("DiskOffering", uuid))
        return disk_offerings(call.db, [database.one(call.db, disk_offering, id_)], admin=call.caller.admin)[0]


@command("listDiskOfferings", ignored=("account", "isrecursive", "listall"))
class ListDiskOfferings(ListOfferings):
    """List the disk offerings that are for the caller."""

    storagetype: str | None = None
    encrypt: bool | None = None
    storageid: Ref | None = None
    volumeid: Ref | None = None
    virtualmachineid: Ref | None = None

    def query(self, call: Call) -> Query:
        """Return the offerings that match; with a pool or volume those whose disks can be in that pool."""
        columns = disk_offering.c
        query = self.matching(call, disk_offering)
        query.equals(columns.encrypt, self.encrypt).same(columns.storage_type, self.storagetype)
        if not call.caller.admin:
            query.where(columns.display.is_(sa.true()))
        if self.storageid is not None:
            query.where(suitable.in_pool(call.db, self.storageid))
        if self.volumeid is not None:
            query.where(columns.id != (self.volumeid.disk_offering_id or 0))
            if self.volumeid.pool_id is not None:
                pool = database.one(call.db, storage_pool, self.volumeid.pool_id)
                query.where(suitable.in_pool(call.db, pool))
        return query

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the disk offerings; with a machine whether it can have disks of them."""
        found = disk_offerings(call.db, rows, admin=call.caller.admin)
        if self.virtualmachineid is not None:
            reached = suitable.reached(call.db, self.virtualmachineid)
            for view, row in zip(found, rows, strict=True):
                view["suitableforvirtualmachine"] = any(suitable.fits(row, pool) for pool in reached)
        return found


@command("updateDiskOffering", event="DISK.OFFERING.EDIT")
class UpdateDiskOffering(UpdateOffering, qos.LimitedCommand):
    """Change a disk offering; disks take limits and cache mode over when their machine starts the next time."""

    displayoffering: bool | None = None
    tags: str | None = None
    cachemode: str | None = None

    def check(self) -> None:
        """Check the words."""
        super().check()
        if self.cachemode is not None:
            self.cachemode = model.one_of("cachemode", self.cachemode, qos.CACHE_MODES)

    def run(self, call: Call) -> dict[str, Any]:
        """Change what was passed."""
        restricted.check_tags(call, tags=self.tags)
        given = self.given()
        iops = bool(self.id.customized_iops) or self.id.max_iops is not None
        more = {
            "display": self.displayoffering,
            "tags": None if self.tags is None else model.pack_tags("tags", self.tags),
            "cache_mode": self.cachemode,
            "rates": qos.checked(call.services, {**self.id.rates, **given}, iops=iops) if given else None,
        }
        fresh = self.change(call, disk_offering, "DiskOffering", "disk offering", more)
        return disk_offerings(call.db, [fresh], admin=call.caller.admin)[0]


@command("deleteDiskOffering", event="DISK.OFFERING.DELETE")
class DeleteDiskOffering(Command):
    """Delete a disk offering; disks that were made from it stay as they are."""

    id: Ref

    def run(self, call: Call) -> Success:
        """Remove the offering, unless service offerings have their root disks by it."""
        services = database.metadata.tables["service_offering"]  # a later slice's
        joined = sa.select(services.c.name).where(
            services.c.disk_offering_id == self.id.id, services.c.removed.is_(None)
        )
        name = call.db.execute(joined.limit(1)).scalar_one_or_none()
        if name is not None:
            raise InUse(f"the disk offering {self.id.name} is that of the service offering {name}; delete that first")
        database.change(call.db, disk_offering, self.id.id, removed=database.now(), state="Inactive")
        call.describe(f"deleted disk offering {self.id.name}", resource=("DiskOffering", self.id.uuid))
        return Success()
