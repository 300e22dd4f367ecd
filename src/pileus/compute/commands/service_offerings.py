"""Commands of service offerings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.compute.tables import service_offering
from pileus.compute.views_offerings import GIB, service_offerings
from pileus.core import database
from pileus.core.calls import Call, Success
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter, MissingParameter, PermissionDenied
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Ref, RefOrAll
from pileus.infrastructure import model, restricted

LEAST_MEMORY = 32  # MiB
_SYSTEM_TYPES = ("domainrouter",)
_LIMITS = ("mincpunumber", "maxcpunumber", "minmemory", "maxmemory")
_MOST = {"cpunumber": 2**15 - 1, "cpuspeed": 2**31 - 1, "memory": 2**31 - 1}


@command("createServiceOffering", event="SERVICE.OFFERING.CREATE")
class CreateServiceOffering(Command):
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
    cachemode: str = "none"
    rootdisksize: int | None = None
    tags: str | None = None
    hosttags: str | None = None
    networkrate: int | None = None
    dynamicscalingenabled: bool = True
    issystem: bool = False
    systemvmtype: str | None = None
    serviceofferingdetails: dict[str, str] | None = None
    domainid: list[Ref] | None = None
    zoneid: list[Ref] | None = None
    offerha: bool = False
    limitcpuuse: bool = False
    isvolatile: bool = False
    customizediops: bool = False
    encryptroot: bool = False
    diskofferingstrictness: bool = False
    purgeresources: bool = False
    gpudisplay: bool = False

    def check(self) -> None:
        """Check words, sizes, and which of them go together."""
        self.storagetype = model.one_of("storagetype", self.storagetype, ("shared", "local"))
        self.provisioningtype = model.one_of("provisioningtype", self.provisioningtype, ("thin",))
        self.cachemode = model.one_of("cachemode", self.cachemode, ("none",))
        later = ("offerha", "limitcpuuse", "isvolatile", "customizediops", "encryptroot")
        restricted.refuse_set(self, *later, "diskofferingstrictness", "purgeresources", "gpudisplay")
        if self.issystem:
            self.systemvmtype = model.one_of("systemvmtype", self.systemvmtype or "", _SYSTEM_TYPES)
        elif self.systemvmtype:
            raise InvalidParameter("parameter systemvmtype goes together with issystem=true")
        if self.rootdisksize is not None and self.rootdisksize < 1:
            raise InvalidParameter("parameter rootdisksize must be at least 1 (GiB)")
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
        uuid = database.new_uuid()
        id_ = database.insert(
            call.db,
            service_offering,
            uuid=uuid,
            name=self.name,
            display_text=self.displaytext or self.name,
            cpus=self.cpunumber,
            cpu_mhz=self.cpuspeed,
            memory_mib=self.memory,
            customized=self.customized,
            limits={name: getattr(self, name) for name in _LIMITS if getattr(self, name) is not None},
            storage_type=self.storagetype,
            provisioning=self.provisioningtype,
            cache_mode=self.cachemode,
            root_disk_size=self.rootdisksize * GIB if self.rootdisksize else None,
            storage_tags=model.pack_tags("tags", self.tags),
            host_tags=model.pack_tags("hosttags", self.hosttags),
            network_rate=self.networkrate,
            dynamic_scaling=self.dynamicscalingenabled,
            is_system=self.issystem,
            system_vm_type=self.systemvmtype,
            details=self.serviceofferingdetails or {},
            created=database.now(),
            **restricted.chosen(call, self.domainid, self.zoneid),
        )
        call.describe(f"created service offering {self.name}", resource=("ServiceOffering", uuid))
        row = database.one(call.db, service_offering, id_)
        return service_offerings(call.db, [row], admin=call.caller.admin)[0]


@command("listServiceOfferings", ignored=("account", "isrecursive", "listall"))
class ListServiceOfferings(ListCommand):
    """List the service offerings that are for the caller; those of system machines with issystem=true."""

    id: Ref | None = None
    name: str | None = None
    domainid: Ref | None = None
    projectid: RefOrAll | None = None
    zoneid: Ref | None = None
    issystem: bool = False
    systemvmtype: str | None = None
    storagetype: str | None = None
    state: str = "Active"
    cpunumber: int | None = None
    cpuspeed: int | None = None
    memory: int | None = None
    encryptroot: bool | None = None

    def query(self, call: Call) -> Query:
        """Return the offerings that match; sizes ask for what an offering must at least reach."""
        if self.issystem and not call.caller.admin:
            raise PermissionDenied("parameter issystem: only root admins see the offerings of system machines")
        columns = service_offering.c
        query = Query(service_offering, columns.sort_key, columns.id).equals(columns.id, self.id)
        query.same(columns.name, self.name).same(columns.storage_type, self.storagetype)
        query.same(columns.system_vm_type, self.systemvmtype)
        if self.id is None or not call.caller.admin:
            query.equals(columns.is_system, self.issystem)
        if self.state.lower() != "all":
            query.same(columns.state, self.state)
        if self.encryptroot:
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
        query.where(
            *restricted.visible(
                call.db,
                call.caller,
                service_offering,
                domain=restricted.domain_of(call.db, self.domainid, self.projectid),
                zone_row=self.zoneid,
            )
        )
        return query.contains(self.keyword, columns.name, columns.display_text)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the service offerings."""
        return service_offerings(call.db, rows, admin=call.caller.admin)


@command("updateServiceOffering", event="SERVICE.OFFERING.EDIT")
class UpdateServiceOffering(Command):
    """Change a service offering; machines take the tags over when they start the next time."""

    id: Ref
    name: str | None = None
    displaytext: str | None = None
    sortkey: int | None = None
    state: str | None = None
    domainid: str | None = None  # ids separated by commas, or "public"
    zoneid: str | None = None  # ids separated by commas, or "all"
    hosttags: str | None = None
    storagetags: str | None = None

    def check(self) -> None:
        """Check the words."""
        if self.name is not None and not self.name.strip():
            raise InvalidParameter("parameter name may not be empty")
        if self.state is not None:
            self.state = model.one_of("state", self.state, ("Active", "Inactive"))

    def run(self, call: Call) -> dict[str, Any]:
        """Change what was passed."""
        row = self.id
        tagged = self.hosttags is not None or self.storagetags is not None
        if tagged and not call.caller.admin:
            raise PermissionDenied("parameters hosttags and storagetags: only root admins see and change tags")
        if self.state == "Inactive" and row.default_use:
            raise InvalidParameter(f"parameter state: the cloud needs its own offering {row.name}")
        passed: dict[str, Any] = {
            "name": self.name,
            "display_text": self.displaytext,
            "sort_key": self.sortkey,
            "state": self.state,
            "host_tags": None if self.hosttags is None else model.pack_tags("hosttags", self.hosttags),
            "storage_tags": None if self.storagetags is None else model.pack_tags("storagetags", self.storagetags),
            **restricted.changed(call, self.domainid, self.zoneid),
        }
        changes = {column: value for column, value in passed.items() if value is not None}
        if changes:
            database.change(call.db, service_offering, row.id, **changes)
        call.describe(f"changed service offering {row.name}", resource=("ServiceOffering", row.uuid))
        fresh = database.one(call.db, service_offering, row.id)
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
