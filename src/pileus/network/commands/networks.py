"""Commands of networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core import attachments, database, jobs, waiting
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.domain_names import network_domain
from pileus.core.errors import InvalidParameter, ResourceUnavailable
from pileus.core.listing import OwnedListCommand, Query
from pileus.core.parameters import Ref, is_uuid
from pileus.identity import sharing, store
from pileus.infrastructure.model import address
from pileus.network import (
    holding,
    model,
    mtu,
    networks,
    nics,
    offering_changes,
    routers,
    segments,
    source_nat,
    spans,
    views,
    workflows,
)
from pileus.network.router_jobs import key
from pileus.network.tables import network, network_offering, network_permission

_ROUTED = {"network_domain", "dns1", "dns2", "offering_id", "private_mtu", "public_mtu"}  # of what routers are told


def check_addressing(command: Any) -> None:
    """Check and tidy the parameters networkdomain, dns1 and dns2 of a command."""
    if command.networkdomain:
        command.networkdomain = network_domain("networkdomain", command.networkdomain)
    for name in ("dns1", "dns2"):
        if getattr(command, name):
            setattr(command, name, address(name, getattr(command, name)))
    if command.dns2 and not command.dns1:
        raise InvalidParameter("parameter dns2 needs parameter dns1 beside it")


@command("createNetwork", event="NETWORK.CREATE")
class CreateNetwork(Command):
    """Create a network; it is implemented (gets its tag and router) with its first machine, at once if persistent."""

    name: str
    networkofferingid: Ref
    zoneid: Ref
    displaytext: str | None = None
    account: str | None = None
    domainid: Ref | None = None
    projectid: Ref | None = None
    acltype: str | None = None
    physicalnetworkid: Ref | None = None
    gateway: str | None = None
    netmask: str | None = None
    networkdomain: str | None = None
    dns1: str | None = None
    dns2: str | None = None
    vlan: str | None = None
    startip: str | None = None
    endip: str | None = None
    privatemtu: int | None = None
    publicmtu: int | None = None
    sourcenatipaddress: str | None = None
    displaynetwork: bool = True

    def check(self) -> None:
        """Check names and addresses."""
        check_addressing(self)
        if self.acltype is not None and self.acltype.lower() != "account":
            raise InvalidParameter("parameter acltype: an isolated network belongs to one account: Account")

    def run(self, call: Call) -> dict[str, Any]:
        """Create the network; a persistent one gets its job."""
        owner = store.owner(call, self.account, self.domainid, self.projectid)
        row = networks.make(
            call,
            networks.NewNetwork(
                name=self.name,
                display_text=self.displaytext or "",
                zone=self.zoneid,
                offering=self.networkofferingid,
                owner=owner,
                physical=self.physicalnetworkid,
                gateway=self.gateway or None,
                netmask=self.netmask or None,
                domain=self.networkdomain or None,
                dns1=self.dns1 or None,
                dns2=self.dns2 or None,
                vlan=self.vlan or None,
                private_mtu=self.privatemtu,
                public_mtu=self.publicmtu,
                start=self.startip or None,
                end=self.endip or None,
                source_nat=self.sourcenatipaddress or None,
                display=self.displaynetwork,
            ),
        )
        call.describe(f"created network {row.name}", owner=row, resource=("Network", row.uuid))
        self._admin, self._network = call.caller.admin, row.id
        self._job = self._implement(call, row) if self.networkofferingid.persistent else None
        return views.networks(call.db, [row], admin=self._admin)[0]

    def _implement(self, call: Call, row: Row[Any]) -> int:
        return jobs.submit(
            call.db,
            workflows.implement,
            key=key(row.id),
            arguments={"network": row.id},
            cmd=self.spec.name,
            user_id=call.caller.user_id,
            account_id=call.caller.account_id,
            domain_id=call.caller.domain_id,
            role=call.caller.role,
            admin=call.caller.admin,
            instance_type="Network",
            instance_uuid=row.uuid,
            request=call.request,
        ).id

    def finishup(self, services: Any, result: Any) -> Any:
        """Wait until a persistent network is implemented."""
        if self._job is None:
            return result
        waiting.wait(services, self._job)
        with services.database.read() as db:
            return views.networks(db, [database.one(db, network, self._network)], admin=self._admin)[0]


@command("listNetworks")
class ListNetworks(OwnedListCommand):
    """List networks."""

    id: Ref | None = None
    name: str | None = None
    zoneid: Ref | None = None
    type: str | None = None
    acltype: str | None = None
    traffictype: str | None = None
    physicalnetworkid: Ref | None = None
    networkofferingid: Ref | None = None
    supportedservices: list[str] | None = None
    specifyipranges: bool | None = None
    restartrequired: bool | None = None
    issystem: bool | None = None
    forvpc: bool | None = None
    canusefordeploy: bool | None = None
    displaynetwork: bool | None = None
    networkfilter: str | None = None
    vlan: str | None = None

    def query(self, call: Call) -> Query:
        """Return the networks that match."""
        columns = network.c
        query = Query(network, columns.id.desc()).equals(columns.id, self.id).equals(columns.zone_id, self.zoneid)
        query.equals(columns.physical_network_id, self.physicalnetworkid)
        query.equals(columns.offering_id, self.networkofferingid)
        query.equals(columns.restart_required, self.restartrequired).equals(columns.display, self.displaynetwork)
        query.same(columns.name, self.name).same(columns.guest_type, self.type).same(columns.acl_type, self.acltype)
        query.contains(self.keyword, columns.name, columns.display_text)
        if self.vlan is not None:
            tag = self.vlan.rpartition("://")[2]
            query.equals(columns.tag, int(tag) if tag.isdecimal() and len(tag) < 9 else -1)
        if self._matches_nothing():
            query.where(sa.false())
        if self.supportedservices or self.specifyipranges is not None:
            query.where(columns.offering_id.in_(self._offerings(call)))
        if self.networkfilter is not None and self.networkfilter.lower() == "account":
            query.where(columns.acl_type == "Account")
        if self.networkfilter is None or self.networkfilter.lower() in ("all", "shared"):
            return self._with_shared(call, query)
        return self.owned(call, query, by_id=self.id)

    def _with_shared(self, call: Call, query: Query) -> Query:
        """Add those that others share with the account that the list is of; or keep to them."""
        before = list(query.conditions)
        own = self.owned(call, query, by_id=self.id).conditions[len(before) :]
        if self.id is not None:
            accounts = sharing.callers(call.caller)
        else:
            accounts = sharing.asked(call, name=self.account, domain=self.domainid, project=self.projectid)
        shared = sharing.objects(call.db, network_permission, accounts)
        granted = network.c.id.in_(shared)
        if (self.networkfilter or "").lower() == "shared":
            query.conditions = [*before, granted]
        elif shared and own:
            query.conditions = [*before, sa.or_(sa.and_(*own), granted)]
        return query

    def _matches_nothing(self) -> bool:
        """Tell whether what is asked for cannot be: every network here is a guest network outside VPCs."""
        filters = ("account", "domain", "shared", "accountdomain", "all")
        if self.networkfilter is not None and self.networkfilter.lower() not in filters:
            raise InvalidParameter(f"parameter networkfilter must be one of {', '.join(filters)}")
        return (
            (self.traffictype is not None and self.traffictype.lower() != "guest")
            or bool(self.issystem)
            or bool(self.forvpc)
            or self.canusefordeploy is False
            or (self.networkfilter or "").lower() == "domain"
        )

    def _offerings(self, call: Call) -> list[int]:
        wanted = {name.strip().lower() for name in self.supportedservices or ()}
        rows = call.db.execute(
            sa.select(network_offering.c.id, network_offering.c.services, network_offering.c.specify_ip_ranges)
        )
        return [
            row.id
            for row in rows
            if wanted <= {name.lower() for name in row.services}
            and self.specifyipranges in (None, row.specify_ip_ranges)
        ]

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the networks."""
        return views.networks(call.db, rows, admin=call.caller.admin)


@command("updateNetwork", event="NETWORK.UPDATE", ignored=("changecidr", "updateinsequence"))
class UpdateNetwork(Command):
    """Change a network's names, DNS domain, name servers, offering, MTUs, reservation or source NAT address.

    Its router learns of it.

    guestvmcidr is the part of the network that machines keep to: the rest is reserved for other equipment.  With
    forced=true an offering may take services away that are in use, with their rules.
    Routers are single and offerings do not choose addresses: updateinsequence and changecidr have no meaning here.
    """

    id: Ref
    name: str | None = None
    displaytext: str | None = None
    networkdomain: str | None = None
    dns1: str | None = None
    dns2: str | None = None
    displaynetwork: bool | None = None
    networkofferingid: Ref | None = None
    customid: str | None = None
    guestvmcidr: str | None = None
    privatemtu: int | None = None
    publicmtu: int | None = None
    sourcenatipaddress: str | None = None
    forced: bool = False

    def check(self) -> None:
        """Check domain, addresses and id."""
        check_addressing(self)
        if self.sourcenatipaddress is not None:
            self.sourcenatipaddress = address("sourcenatipaddress", self.sourcenatipaddress)
        if self.name == "":
            raise InvalidParameter("parameter name may not be emptied")
        if self.customid is not None and not is_uuid(self.customid):
            raise InvalidParameter(f"parameter customid must be a UUID, not {self.customid[:60]!r}")

    def run(self, call: Call) -> jobs.Submission:
        """Change what was passed; the job waits for the router."""
        row = self.id
        refuse_gone(row)
        if not row.cidr and (self.networkdomain or self.dns1):
            raise InvalidParameter("parameters networkdomain, dns1 and dns2 are not for layer 2 networks")
        passed: dict[str, Any] = {
            "name": self.name,
            "display_text": self.displaytext,
            "network_domain": self.networkdomain or None,
            "dns1": self.dns1,
            "dns2": self.dns2,
            "display": self.displaynetwork,
            "uuid": None if self.customid is None else self.customid.lower(),
            "private_mtu": self.privatemtu,
            "public_mtu": self.publicmtu,
        }
        changes = {name: value for name, value in passed.items() if value is not None}
        if self.networkofferingid is not None and self.networkofferingid.id != row.offering_id:
            holding.hold(call.db, row.id)
            offering_changes.refuse(call, row, self.networkofferingid, forced=self.forced)
            changes["offering_id"] = self.networkofferingid.id
        for name in ("dns1", "dns2"):
            if name in changes:
                changes[name] = changes[name] or None
        if self.guestvmcidr is not None:
            changes["guest_cidr"] = self._part(call, row, changes)
        offering = self.networkofferingid or database.one(call.db, network_offering, row.offering_id)
        mtu.check(call, row.zone_id, row.isolation, offering, private=self.privatemtu, public=self.publicmtu)
        if changes:
            database.change(call.db, network, row.id, **changes)
        if "uuid" in changes:
            attachments.renamed(call.db, row.uuid, changes["uuid"])
        if "private_mtu" in changes:
            segments.tell_all(call.db, row.id)
        moved = self.sourcenatipaddress is not None and source_nat.move(call.db, row, offering, self.sourcenatipaddress)
        wanted = routers.want(call.db, row.id) if moved or _ROUTED & set(changes) else None
        call.describe(f"changed network {row.name}")
        return call.submit(
            workflows.update,
            key=key(row.id),
            instance=("Network", changes.get("uuid", row.uuid)),
            owner=row,
            network=row.id,
            router=None if wanted is None else wanted[0],
        )

    def _part(self, call: Call, row: Row[Any], changes: dict[str, Any]) -> str | None:
        """Return the part of the network that machines are to keep to."""
        if row.guest_type != model.ISOLATED:
            raise InvalidParameter("parameter guestvmcidr is for isolated networks")
        if "offering_id" in changes:
            raise InvalidParameter("parameters guestvmcidr and networkofferingid exclude each other")
        call.db.execute(sa.select(network.c.id).where(network.c.id == row.id).with_for_update())
        return spans.part(row, self.guestvmcidr or "", nics.addresses(call.db, row.id))


@command("deleteNetwork", event="NETWORK.DELETE")
class DeleteNetwork(Command):
    """Delete a network without machines; forced: also when the host of its router does not answer."""

    id: Ref
    forced: bool = False

    def run(self, call: Call) -> jobs.Submission:
        """Refuse while machines use it, else let the job delete it."""
        row = self.id
        workflows.refuse_used(call.db, row.id, row.name)
        call.describe(f"deleted network {row.name}")
        return call.submit(
            workflows.delete,
            key=key(row.id),
            instance=("Network", row.uuid),
            owner=row,
            network=row.id,
            forced=self.forced,
        )


@command("restartNetwork", event="NETWORK.RESTART")
class RestartNetwork(Command):
    """Bring a network's router to its newest state; cleanup=true destroys the router and makes a new one."""

    id: Ref
    cleanup: bool = False
    makeredundant: bool = False
    livepatch: bool = False

    def check(self) -> None:
        """Refuse what is not built."""
        if self.makeredundant:
            raise InvalidParameter(
                "parameter makeredundant=true: redundant routers are not supported by this server yet"
            )
        if self.livepatch:
            raise InvalidParameter("parameter livepatch=true: routers here have no software of their own to patch")

    def run(self, call: Call) -> jobs.Submission:
        """Refuse a network that is not implemented, else let the job do it."""
        row = self.id
        if row.state not in (model.IMPLEMENTED, "Setup"):
            raise ResourceUnavailable(
                f"network {row.name} is {row.state}: only an implemented network can be restarted; it is "
                "implemented with its first machine"
            )
        call.describe(f"restarted network {row.name}")
        return call.submit(
            workflows.restart,
            key=key(row.id),
            instance=("Network", row.uuid),
            owner=row,
            network=row.id,
            cleanup=self.cleanup,
        )


def refuse_gone(row: Row[Any]) -> None:
    """Raise InvalidParameter when a network is on its way out."""
    if row.state in (model.SHUTDOWN, model.DESTROY):
        raise InvalidParameter(f"network {row.name} is being deleted", uuids=((row.uuid, "network"),))
