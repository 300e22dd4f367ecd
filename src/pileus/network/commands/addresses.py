"""Commands of public addresses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database, entities, jobs, permissions
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter, MissingParameter, PermissionDenied
from pileus.core.listing import OwnedListCommand, Query
from pileus.core.parameters import ALL, Ref
from pileus.identity import store
from pileus.infrastructure.model import address as plain_address
from pileus.network import addresses, model, networks, routers, rule_jobs, rules, views_rules
from pileus.network.commands.networks import refuse_gone
from pileus.network.tables import ip_range, network_offering, public_address


@command("associateIpAddress", event="NET.IPASSIGN", manage=("networkid",))
class AssociateIpAddress(Command):
    """Take a public address for a network: the one that is named, or the lowest free of the zone."""

    networkid: Ref | None = None
    zoneid: Ref | None = None
    account: str | None = None
    domainid: Ref | None = None
    projectid: Ref | None = None
    ipaddress: str | None = None
    isportable: bool = False
    fordisplay: bool = True

    def check(self) -> None:
        """Check the address and what it is for."""
        if self.isportable:
            raise InvalidParameter("parameter isportable=true: portable addresses are not supported by this server yet")
        if self.networkid is None and self.zoneid is None:
            raise MissingParameter("one of the parameters networkid and zoneid is needed")
        if self.ipaddress:
            self.ipaddress = plain_address("ipaddress", self.ipaddress)

    def run(self, call: Call) -> jobs.Submission:
        """Take the address; the job waits until the network's router has it."""
        db = call.db
        of = self._network(call)
        store.refuse_idle(db, of.account_id)
        offering = database.one(db, network_offering, of.offering_id)
        if "SourceNat" not in offering.services and "StaticNat" not in offering.services:
            raise InvalidParameter(
                f"parameter networkid: offering {offering.name} of network {of.name} has no addresses"
            )
        row = addresses.take(
            db,
            of.zone_id,
            of,
            network_id=of.id,
            state=model.ALLOCATING,
            address=self.ipaddress or None,
            source_nat="SourceNat" in offering.services,
            display=self.fordisplay,
        )
        wanted = routers.want(db, of.id)  # after the claim: everybody locks owners first, then routers
        call.describe(f"took public address {row.address} for network {of.name}")
        return call.submit(
            rule_jobs.associate,
            key=f"address:{row.id}",
            instance=("IpAddress", row.uuid),
            owner=row,
            address=row.id,
            router=None if wanted is None else wanted[0],
        )

    def _network(self, call: Call) -> Row[Any]:
        """Return the network that is named, or the owner's only one in the zone."""
        if self.networkid is not None:
            refuse_gone(self.networkid)
            if self.zoneid is not None and self.zoneid.id != self.networkid.zone_id:
                raise InvalidParameter("parameter zoneid: the network that networkid names is in another zone")
            if self.account is not None or self.projectid is not None:
                owner = store.owner(call, self.account, self.domainid, self.projectid)
                if owner.account_id != self.networkid.account_id:
                    what = "account" if self.account is not None else "projectid"
                    raise InvalidParameter(f"parameter {what}: the network that networkid names belongs to another one")
            return self.networkid
        owner = store.owner(call, self.account, self.domainid, self.projectid)
        zone_id = self.zoneid.id if self.zoneid is not None else 0
        found = networks.isolated_with_source_nat(call.db, zone_id, owner.account_id)
        if len(found) != 1:
            raise InvalidParameter(
                f"parameter networkid is needed: account {owner.name} has {len(found) or 'no'} isolated networks in "
                "the zone"
            )
        refuse_gone(found[0])
        return found[0]


@command("listPublicIpAddresses")
class ListPublicIpAddresses(OwnedListCommand):
    """List public addresses: those that are taken; with allocatedonly=false also the free ones that could be."""

    id: Ref | None = None
    ipaddress: str | None = None
    zoneid: Ref | None = None
    physicalnetworkid: Ref | None = None
    vlanid: Ref | None = None
    networkid: Ref | None = None
    associatednetworkid: Ref | None = None
    state: str | None = None
    allocatedonly: bool | None = None
    forvirtualnetwork: bool | None = None
    forloadbalancing: bool | None = None
    forsystemvms: bool | None = None
    forprovider: bool | None = None
    issourcenat: bool | None = None
    isstaticnat: bool | None = None
    fordisplay: bool | None = None

    def query(self, call: Call) -> Query:
        """Return the addresses that match."""
        columns = public_address.c
        query = Query(public_address).equals(columns.id, self.id).equals(columns.zone_id, self.zoneid)
        query.equals(columns.network_id, self.networkid).equals(columns.network_id, self.associatednetworkid)
        query.equals(columns.range_id, self.vlanid).equals(columns.address, self.ipaddress)
        query.equals(columns.is_source_nat, self.issourcenat).equals(columns.is_static_nat, self.isstaticnat)
        query.equals(columns.display, self.fordisplay).same(columns.state, self.state)
        query.contains(self.keyword, columns.address)
        ranges = self._ranges()
        if ranges is not None:
            query.where(columns.range_id.in_(ranges))
        if self.forloadbalancing or self.forsystemvms or self.forprovider:
            query.where(sa.false())
        free = self.allocatedonly is False or (self.state or "").lower() in ("free", "reserved")
        if free and call.caller.admin and self.account is None and self.domainid is None and self.projectid is None:
            return query
        before = list(query.conditions)
        own = self.owned(call, query, by_id=self.id).conditions[len(before) :]
        taken = sa.and_(columns.state != model.FREE, *own)
        owner = self._taker(call) if free else None
        if owner is None:
            query.conditions = [*before, taken]
            return query
        zone_id = None if self.zoneid is None else self.zoneid.id
        ranges_ = [id_ for ids in addresses.available(call.db, zone_id, owner) for id_ in ids]
        query.conditions = [*before, sa.or_(taken, sa.and_(columns.state == model.FREE, columns.range_id.in_(ranges_)))]
        return query

    def _taker(self, call: Call) -> Row[Any] | None:
        """Return the account that would take the free addresses; None when the list is of several."""
        if self.projectid == ALL or (self.domainid is not None and self.account is None and self.projectid is None):
            return None
        return store.owner(call, self.account, self.domainid, self.projectid)

    def _ranges(self) -> Any:
        statement = sa.select(ip_range.c.id)
        if self.physicalnetworkid is None and self.forvirtualnetwork is None:
            return None
        if self.physicalnetworkid is not None:
            statement = statement.where(ip_range.c.physical_network_id == self.physicalnetworkid.id)
        if self.forvirtualnetwork is not None:
            statement = statement.where(ip_range.c.for_virtual_network == self.forvirtualnetwork)
        return statement

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the addresses."""
        return views_rules.addresses(call.db, rows, admin=call.caller.admin)


@command("disassociateIpAddress", event="NET.IPRELEASE")
class DisassociateIpAddress(Command):
    """Give a public address back, with its rules and static NAT."""

    id: Ref | None = None
    ipaddress: str | None = None

    def check(self) -> None:
        """Check that one address is named."""
        if self.id is None and not self.ipaddress:
            raise MissingParameter("one of the parameters id and ipaddress is needed")

    def run(self, call: Call) -> jobs.Submission:
        """Refuse a network's source NAT address, else let the job free it."""
        db = call.db
        row = self.id if self.id is not None else _by_address(db, call, self.ipaddress or "")
        if row.is_source_nat:
            raise InvalidParameter(
                f"{row.address} is the source NAT address of its network and goes with it; delete the network instead",
                uuids=((row.uuid, "id"),),
            )
        unchanged = {"state": model.TAKEN, "is_source_nat": False}
        if not database.change(db, public_address, row.id, expect=unchanged, state=model.RELEASING):
            raise InvalidParameter(f"public address {row.address} is {row.state}, so it cannot be released now")
        found = rules.of_address(db, row.id)
        router = rules.withdraw(db, row.network_id, found)
        call.describe(f"released public address {row.address}")
        return call.submit(
            rule_jobs.release,
            key=f"address:{row.id}",
            instance=("IpAddress", row.uuid),
            owner=row,
            address=row.id,
            ids=[each.id for each in found],
            router=router,
        )


def _by_address(db: Connection, call: Call, text: str) -> Row[Any]:
    wanted = plain_address("ipaddress", text)
    rows = db.execute(
        sa.select(public_address).where(public_address.c.address == wanted, public_address.c.state != model.FREE)
    ).all()
    own = [row for row in rows if entities.owned(db, call.caller, row)]
    if len(own) == 1:
        if not permissions.project_allows(db, call.caller, own[0], call.spec.name):
            raise PermissionDenied(
                f"parameter ipaddress: the project role of {call.caller.account} does not allow {call.spec.name}"
            )
        return own[0]
    if rows and not own:
        raise PermissionDenied(f"{call.caller.account} has no permission for the public address {wanted}")
    what = "is taken in more than one zone; name it by id" if own else "is not taken"
    raise InvalidParameter(f"parameter ipaddress: {wanted} {what}")
