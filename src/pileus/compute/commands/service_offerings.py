"""Commands of service offerings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.compute import leases, settings
from pileus.compute.model import LEAST_MEMORY
from pileus.compute.tables import service_offering
from pileus.compute.views_offerings import GIB, service_offerings
from pileus.core import database
from pileus.core.calls import Call, Success
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter, MissingParameter, PermissionDenied
from pileus.core.listing import Query
from pileus.core.parameters import Ref
from pileus.core.sizes import LARGEST_VOLUME
from pileus.infrastructure import model, restricted
from pileus.scheduling import planners
from pileus.storage import qos
from pileus.storage.offerings import ACTIVE, PROVISIONING, ListOfferings, UpdateOffering
from pileus.storage.tables import disk_offering

_SYSTEM_TYPES = ("domainrouter",)
_LIMITS = ("mincpunumber", "maxcpunumber", "minmemory", "maxmemory")
_OF_DISKS = ("storagetype", "provisioningtype", "cachemode", "rootdisksize", "tags")
_IOPS = ("customizediops", "miniops", "maxiops", "hypervisorsnapshotreserve")
_MOST = {"cpunumber": 2**15 - 1, "cpuspeed": 2**31 - 1, "memory": 2**31 - 1}


@command("createServiceOffering", event="SERVICE.OFFERING.CREATE")
class CreateServiceOffering(qos.DiskCommand):
    """Create a service offering: fixed CPU and memory, or with customized the choice (within limits) at deployment."""

    name: str
    displaytext: str | None = None
    cpunumber: int | None = None
    cpuspeed: int | None = None
    memory: int | None = None
    customized: bool | None = None
    mincpunumber: int | None = None
    maxcpunumber: int | None = None
    minmemory: int | None = None
    maxmemory: int | None = None
    storagetype: str = "shared"
    provisioningtype: str = "thin"
    rootdisksize: int | None = None
    tags: str | None = None
    diskofferingid: Ref | None = None
    diskofferingstrictness: bool = False
    hosttags: str | None = None
    networkrate: int | None = None
    deploymentplanner: str | None = None
    leaseduration: int | None = None
    leaseexpiryaction: str | None = None
    dynamicscalingenabled: bool = True
    issystem: bool = False
    systemvmtype: str | None = None
    serviceofferingdetails: dict[str, str] | None = None
    domainid: list[Ref] | None = None
    zoneid: list[Ref] | None = None
    offerha: bool = False
    limitcpuuse: bool = False
    isvolatile: bool = False
    encryptroot: bool = False
    purgeresources: bool = False
    gpudisplay: bool = False

    def check(self) -> None:
        """Check words, sizes, and which of them go together."""
        self.storagetype = model.one_of("storagetype", self.storagetype, ("shared", "local"))
        self.provisioningtype = model.one_of("provisioningtype", self.provisioningtype, PROVISIONING)
        later = ("offerha", "encryptroot", "gpudisplay")
        restricted.refuse_set(self, *later)
        self.check_disk()
        if self.deploymentplanner is not None:
            self.deploymentplanner = model.one_of("deploymentplanner", self.deploymentplanner, planners.NAMES)
        self.leaseexpiryaction = leases.check(self.leaseduration, self.leaseexpiryaction)
        if self.issystem:
            self.systemvmtype = model.one_of("systemvmtype", self.systemvmtype or "", _SYSTEM_TYPES)
        elif self.systemvmtype:
            raise InvalidParameter("parameter systemvmtype goes together with issystem=true")
        if self.networkrate is not None and self.networkrate < 0:
            raise InvalidParameter("parameter networkrate must not be negative (Mbit/s; 0 = no limit)")
        self._check_size()
        self._check_limits()

    def _check_size(self) -> None:
        missing = [name for name in _MOST if getattr(self, name) is None]
        if self.customized is None:
            self.customized = self.cpunumber is None and self.memory is None
        if missing and not self.customized:
            raise MissingParameter(f"parameter {missing[0]} is needed unless customized=true")
        if self.customized and (self.cpunumber is not None or self.memory is not None):
            raise InvalidParameter("parameters cpunumber and memory do not go together with customized=true")
        for name, most in _MOST.items():
            least = LEAST_MEMORY if name == "memory" else 1
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise InvalidParameter(f"parameter {name} must be between {least} and {most}")

    def _check_limits(self) -> None:
        given = [name for name in _LIMITS if getattr(self, name) is not None]
        if given and not self.customized:
            raise InvalidParameter(f"parameter {given[0]} goes together with customized=true")
        for what, least in (("cpunumber", 1), ("memory", LEAST_MEMORY)):
            low, high = getattr(self, f"min{what}"), getattr(self, f"max{what}")
            if low is not None and low < least:
                raise InvalidParameter(f"parameter min{what} must be at least {least}")
            if high is not None and high < (low or least):
                raise InvalidParameter(f"parameter max{what} must be at least {low or least}")

    def run(self, call: Call) -> dict[str, Any]:
        """Create the offering."""
        if self.issystem and not call.caller.admin:
            raise PermissionDenied("parameter issystem: only root admins make offerings for system machines")
        restricted.check_tags(call, hosttags=self.hosttags, tags=self.tags)
        joined = self._joined()
        self._check_largest(call)
        largest = call.services.settings.get(LARGEST_VOLUME)
        if self.rootdisksize is not None and not 1 <= self.rootdisksize <= largest:
            raise InvalidParameter(f"parameter rootdisksize must be between 1 and {largest} (GiB)")
        if self.leaseexpiryaction is not None:
            leases.refuse_disabled(call.services)
        uuid = database.new_uuid()
        id_ = database.insert(
            call.db,
            service_offering,
            uuid=uuid,
            name=self.name,
            display_text=self.displaytext or self.name,
            cpus=self.cpunumber,
            cpu_mhz=self.cpuspeed,
            limit_cpu=self.limitcpuuse,
            memory_mib=self.memory,
            customized=self.customized,
            limits={name: getattr(self, name) for name in _LIMITS if getattr(self, name) is not None},
            storage_type=self.storagetype if joined is None else joined.storage_type,
            provisioning=self.provisioningtype,
            disk_offering_id=None if joined is None else joined.id,
            strict_disk_offering=self.diskofferingstrictness,
            root_disk_size=self.rootdisksize * GIB if self.rootdisksize else None,
            storage_tags=model.pack_tags("tags", self.tags),
            host_tags=model.pack_tags("hosttags", self.hosttags),
            network_rate=self.networkrate,
            planner=self.deploymentplanner,
            lease_days=self.leaseduration if self.leaseexpiryaction is not None else None,
            lease_action=self.leaseexpiryaction,
            dynamic_scaling=self.dynamicscalingenabled,
            purge=self.purgeresources,
            is_volatile=self.isvolatile,
            is_system=self.issystem,
            system_vm_type=self.systemvmtype,
            details=self.serviceofferingdetails or {},
            created=database.now(),
            **self.disk_columns(call.services),
            **restricted.chosen(call, self.domainid, self.zoneid),
        )
        call.describe(f"created service offering {self.name}", resource=("ServiceOffering", uuid))
        row = database.one(call.db, service_offering, id_)
        return service_offerings(call.db, [row], admin=call.caller.admin)[0]

    def _check_largest(self, call: Call) -> None:
        """Check the sizes against the largest that the cloud's settings allow."""
        for names, setting in (
            (("cpunumber", "mincpunumber", "maxcpunumber"), settings.MOST_CPUS),
            (("memory", "minmemory", "maxmemory"), settings.MOST_MEMORY),
        ):
            most = call.services.settings.get(setting)
            above = [name for name in names if most and (getattr(self, name) or 0) > most]
            if above:
                raise InvalidParameter(f"parameter {above[0]} may be at most {most} (setting {setting.name})")

    def _joined(self) -> Row[Any] | None:
        """Return the disk offering of root disks, which then says all of them that this one would."""
        of: Row[Any] | None = self.diskofferingid
        if of is None:
            return None
        if of.state != ACTIVE:
            raise InvalidParameter(f"parameter diskofferingid: the offering {of.name} is {of.state}; choose another")
        own = [name for name in _OF_DISKS + _IOPS if getattr(self, name) != getattr(type(self), name)] + list(
            self.given()
        )
        if own:
            raise InvalidParameter(f"parameter {own[0]} is what the disk offering of parameter diskofferingid says")
        return of


@command("listServiceOfferings", ignored=("account", "isrecursive", "listall"))
class ListServiceOfferings(ListOfferings):
    """List the service offerings that are for the caller; those of system machines with issystem=true."""

    issystem: bool = False
    systemvmtype: str | None = None
    storagetype: str | None = None
    cpunumber: int | None = None
    cpuspeed: int | None = None
    memory: int | None = None
    encryptroot: bool | None = None
    gpuenabled: bool | None = None
    templateid: Ref | None = None
    virtualmachineid: Ref | None = None

    def query(self, call: Call) -> Query:
        """Return the offerings that match; sizes ask for what an offering must at least reach."""
        if self.issystem and not call.caller.admin:
            raise PermissionDenied("parameter issystem: only root admins see the offerings of system machines")
        columns = service_offering.c
        query = self.matching(call, service_offering)
        query.same(columns.storage_type, self.storagetype).same(columns.system_vm_type, self.systemvmtype)
        if self.id is None or not call.caller.admin:
            query.equals(columns.is_system, self.issystem)
        if self.encryptroot or self.gpuenabled:
            query.where(sa.false())
        for column, value, limit in (
            (columns.cpus, self.cpunumber, "maxcpunumber"),
            (columns.cpu_mhz, self.cpuspeed, ""),
            (columns.memory_mib, self.memory, "maxmemory"),
        ):
            if value is not None:
                most = columns.limits[limit].as_integer()
                chosen = sa.and_(column.is_(None), sa.or_(most.is_(None), most >= value))
                query.where(sa.or_(column >= value, chosen))
        if self.templateid is not None:
            query.where(_roomy(self.templateid.size))
        if self.virtualmachineid is not None:
            self._for_machine(call, query, self.virtualmachineid)
        return query

    def _for_machine(self, call: Call, query: Query, of: Row[Any]) -> None:
        """Keep to what a machine can be changed to: its root disk stays on the kind of storage that it is on."""
        columns = service_offering.c
        now = database.one(call.db, service_offering, of.service_offering_id)
        query.where(columns.storage_type == now.storage_type)
        if not now.customized:
            query.where(columns.id != now.id)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the service offerings."""
        return service_offerings(call.db, rows, admin=call.caller.admin)


def _roomy(size: int) -> sa.ColumnElement[bool]:
    """Return the condition for offerings whose root disks are no smaller than a template."""
    columns = service_offering.c
    disks = sa.select(disk_offering.c.id).where(sa.or_(disk_offering.c.size == 0, disk_offering.c.size >= size))
    own = sa.or_(columns.root_disk_size.is_(None), columns.root_disk_size >= size)
    return sa.or_(sa.and_(columns.disk_offering_id.is_(None), own), columns.disk_offering_id.in_(disks))


@command("updateServiceOffering", event="SERVICE.OFFERING.EDIT")
class UpdateServiceOffering(UpdateOffering):
    """Change a service offering; machines take the tags over when they start the next time."""

    hosttags: str | None = None
    storagetags: str | None = None
    purgeresources: bool | None = None

    def run(self, call: Call) -> dict[str, Any]:
        """Change what was passed."""
        row = self.id
        restricted.check_tags(call, hosttags=self.hosttags, storagetags=self.storagetags)
        if self.state == "Inactive" and row.default_use:
            raise InvalidParameter(f"parameter state: the cloud needs its own offering {row.name}")
        if self.storagetags is not None and row.disk_offering_id is not None:
            raise InvalidParameter("parameter storagetags: its disk offering says them; use updateDiskOffering")
        more = {
            "host_tags": None if self.hosttags is None else model.pack_tags("hosttags", self.hosttags),
            "storage_tags": None if self.storagetags is None else model.pack_tags("storagetags", self.storagetags),
            "purge": self.purgeresources,
        }
        fresh = self.change(call, service_offering, "ServiceOffering", "service offering", more)
        return service_offerings(call.db, [fresh], admin=call.caller.admin)[0]


@command("deleteServiceOffering", event="SERVICE.OFFERING.DELETE")
class DeleteServiceOffering(Command):
    """Delete a service offering; machines that were made from it stay as they are."""

    id: Ref

    def run(self, call: Call) -> Success:
        """Remove the offering, unless it is the cloud's own."""
        if self.id.default_use:
            raise InvalidParameter(f"parameter id: the cloud needs its own offering {self.id.name}")
        database.change(call.db, service_offering, self.id.id, removed=database.now(), state="Inactive")
        call.describe(f"deleted service offering {self.id.name}", resource=("ServiceOffering", self.id.uuid))
        return Success()
