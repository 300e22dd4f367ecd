"""Commands of zones."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call, Success
from pileus.core.commands import Command, command
from pileus.core.domain_names import network_domain
from pileus.core.errors import InvalidParameter
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Ref
from pileus.infrastructure import access_groups, dedication, model, restricted, usage, views
from pileus.infrastructure.tables import zone

_DEFAULT_GUEST_CIDR = "10.1.1.0/24"
_DEPENDENT = frozenset({"template_copy", "dedication"})  # a copy goes with its image store


def _name_free(db: Connection, name: str, but: int = 0) -> None:
    taken = sa.select(zone.c.id).where(zone.c.name == name, zone.c.removed.is_(None), zone.c.id != but)
    if db.execute(taken).first():
        raise InvalidParameter(f"parameter name: there is a zone {name!r} already; choose another name")


class ZoneAddresses(Command):
    """What createZone and updateZone have in common: the name servers and domains of a zone."""

    dns2: str | None = None
    ip6dns1: str | None = None
    ip6dns2: str | None = None
    internaldns2: str | None = None
    guestcidraddress: str | None = None
    domain: str | None = None
    allocationstate: str | None = None

    def check(self) -> None:
        """Check the addresses, the guest network, the domain name and the state."""
        for name in ("dns1", "dns2", "internaldns1", "internaldns2"):
            if getattr(self, name, None):
                setattr(self, name, model.address(name, getattr(self, name)))
        for name in ("ip6dns1", "ip6dns2"):
            if getattr(self, name):
                setattr(self, name, model.address6(name, getattr(self, name)))
        if self.guestcidraddress:
            self.guestcidraddress = model.cidr("guestcidraddress", self.guestcidraddress)
        if self.domain:
            self.domain = network_domain("domain", self.domain)
        if self.allocationstate:
            self.allocationstate = model.allocation_state(self.allocationstate)


@command("createZone", event="ZONE.CREATE")
class CreateZone(ZoneAddresses):
    """Create a zone; it is disabled until updateZone enables it, unless allocationstate says otherwise."""

    name: str
    networktype: str
    dns1: str
    internaldns1: str
    domainid: Ref | None = None
    localstorageenabled: bool = False
    securitygroupenabled: bool = False
    isedge: bool = False
    storageaccessgroups: list[str] | None = None

    def check(self) -> None:
        """Check the kind of zone: Basic ones have no guest network of their own."""
        super().check()
        self.networktype = model.one_of("networktype", self.networktype, (model.BASIC, model.ADVANCED))
        if self.networktype == model.BASIC and self.guestcidraddress:
            raise InvalidParameter("parameter guestcidraddress goes together with networktype=Advanced")
        if self.networktype == model.BASIC and self.isedge:
            raise InvalidParameter("parameter isedge goes together with networktype=Advanced")
        if self.securitygroupenabled and self.isedge:
            raise InvalidParameter("parameter isedge: edge zones have no security groups")

    def run(self, call: Call) -> dict[str, Any]:
        """Create the zone."""
        _name_free(call.db, self.name)
        uuid = database.new_uuid()
        id_ = database.insert(
            call.db,
            zone,
            uuid=uuid,
            name=self.name,
            network_type=self.networktype,
            security_groups=self.securitygroupenabled,
            dns1=self.dns1,
            dns2=self.dns2 or None,
            internal_dns1=self.internaldns1,
            internal_dns2=self.internaldns2 or None,
            ip6_dns1=self.ip6dns1 or None,
            ip6_dns2=self.ip6dns2 or None,
            guest_cidr=self.guestcidraddress or (_DEFAULT_GUEST_CIDR if self.networktype == model.ADVANCED else None),
            network_domain=self.domain or None,
            domain_id=self.domainid.id if self.domainid is not None else None,
            allocation_state=self.allocationstate or model.DISABLED,
            local_storage=self.localstorageenabled or self.isedge,  # an edge zone's hosts stand alone
            edge=self.isedge,
            access_groups=access_groups.pack(self.storageaccessgroups),
            token=secrets.token_hex(16),
            created=database.now(),
        )
        if self.domainid is not None:
            dedication.dedicate(call.db, "zone", database.one(call.db, zone, id_), self.domainid, None)
        call.describe(f"created zone {self.name}", resource=("Zone", uuid))
        return views.zones(call.db, [database.one(call.db, zone, id_)], admin=True)[0]


@command("updateZone", event="ZONE.EDIT")
class UpdateZone(ZoneAddresses):
    """Change a zone; networks that run already keep what they were made with until they are restarted."""

    id: Ref
    name: str | None = None
    dns1: str | None = None
    internaldns1: str | None = None
    localstorageenabled: bool | None = None
    ispublic: bool | None = None
    sortkey: int | None = None
    dhcpprovider: str | None = None
    dnssearchorder: list[str] | None = None
    details: dict[str, str] | None = None

    def run(self, call: Call) -> dict[str, Any]:
        """Change what was passed."""
        row = self.id
        passed: dict[str, Any] = {
            "name": self.name,
            "dns1": self.dns1,
            "dns2": self.dns2,
            "ip6_dns1": self.ip6dns1,
            "ip6_dns2": self.ip6dns2,
            "internal_dns1": self.internaldns1,
            "internal_dns2": self.internaldns2,
            "guest_cidr": self.guestcidraddress,
            "allocation_state": self.allocationstate,
            "local_storage": self.localstorageenabled,
            "sort_key": self.sortkey,
            "network_domain": self._search_domain(),
        }
        for needed in ("name", "dns1", "internaldns1", "guestcidraddress", "allocationstate"):
            if getattr(self, needed) == "":
                raise InvalidParameter(f"parameter {needed} may not be emptied")
        changes = {column: None if value == "" else value for column, value in passed.items() if value is not None}
        if self.name is not None:
            _name_free(call.db, self.name, but=row.id)
        if self.localstorageenabled is False and row.edge:
            raise InvalidParameter("parameter localstorageenabled: an edge zone has nothing but its hosts' own storage")
        if self.ispublic is False and row.domain_id is None:
            raise InvalidParameter("parameter ispublic: a zone is given to one domain with domainid when it is created")
        if self.ispublic:
            dedication.release(call.db, "zone", row, must=False)
        if self.details is not None:
            changes["details"] = {**row.details, **self.details}
        if changes:
            database.change(call.db, zone, row.id, **changes)
        call.describe(f"changed zone {row.name}", resource=("Zone", row.uuid))
        return views.zones(call.db, [database.one(call.db, zone, row.id)], admin=True)[0]

    def check(self) -> None:
        """Check the words; only the virtual router gives addresses out."""
        super().check()
        if self.dhcpprovider is not None:
            model.one_of("dhcpprovider", self.dhcpprovider, ("VirtualRouter",))
        if self.dnssearchorder:
            self.dnssearchorder = [network_domain("dnssearchorder", name) for name in self.dnssearchorder]
            if len(self.dnssearchorder) > 1:
                raise InvalidParameter("parameter dnssearchorder: guests are told one domain; give one")

    def _search_domain(self) -> str | None:
        """Return the domain that guests look names up in, passed under one name or the other."""
        return self.dnssearchorder[0] if self.dnssearchorder else self.domain


@command("listZones")
class ListZones(ListCommand):
    """List zones; everybody but root admins sees those that are enabled and open to the own domain."""

    id: Ref | None = None
    ids: list[Ref] | None = None
    name: str | None = None
    networktype: str | None = None
    domainid: Ref | None = None
    available: bool | None = None
    storageaccessgroup: str | None = None
    showcapacities: bool = False

    def query(self, call: Call) -> Query:
        """Return the caller's zones that match."""
        query = Query(zone, zone.c.sort_key, zone.c.id).equals(zone.c.id, self.id).equals(zone.c.id, self.ids)
        if self.available is False:  # only where the caller has a machine
            machine = database.metadata.tables["machine"]  # a later slice's
            own = sa.select(machine.c.zone_id).where(machine.c.account_id == call.caller.account_id)
            query.where(zone.c.id.in_(own.where(machine.c.removed.is_(None))))
        query.same(zone.c.name, self.name).same(zone.c.network_type, self.networktype)
        query.contains(self.keyword, zone.c.name)
        if self.storageaccessgroup is not None:
            query.where(access_groups.carries(zone.c.access_groups, self.storageaccessgroup))
        if self.domainid is not None:
            query.where(_open_to(call.db, self.domainid.path))
        if not call.caller.admin:
            query.where(zone.c.allocation_state == model.ENABLED, _open_to(call.db, call.caller.domain_path))
        return query

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the zones."""
        return views.zones(call.db, rows, admin=call.caller.admin, capacities=self.showcapacities)


def _open_to(db: Connection, path: str) -> sa.ColumnElement[bool]:
    """Return the condition for zones that a domain with this path may use: public, or its own or an ancestor's."""
    own = restricted.ancestors(db, path)
    return sa.or_(zone.c.domain_id.is_(None), zone.c.domain_id.in_(own))


@command("deleteZone", event="ZONE.DELETE")
class DeleteZone(Command):
    """Delete a zone that has nothing in it any more."""

    id: Ref

    def run(self, call: Call) -> Success:
        """Refuse while anything uses the zone, else remove it."""
        usage.refuse_used(call.db, zone, self.id, "zone", ignore=_DEPENDENT)
        dedication.release(call.db, "zone", self.id, must=False)
        database.change(call.db, zone, self.id.id, removed=database.now(), allocation_state=model.DISABLED)
        call.describe(f"deleted zone {self.id.name}", resource=("Zone", self.id.uuid))
        return Success()
