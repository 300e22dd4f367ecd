"""Commands of network offerings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core import database, entities
from pileus.core.calls import Call, Success
from pileus.core.commands import Command, command
from pileus.core.errors import InUse, InvalidParameter, MissingParameter
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Entries, Ref
from pileus.infrastructure import model, restricted
from pileus.infrastructure.network_views import PROVIDER
from pileus.network import offering_changes
from pileus.network.offerings import CAPABILITIES, KNOWN_SERVICES, LATER_SERVICES, network_offerings
from pileus.network.tables import network, network_offering

_AVAILABILITIES = ("Required", "Optional", "Unavailable")
_STATES = ("Enabled", "Disabled", "Inactive")
_NEEDS = {
    "StaticNat": ("SourceNat", "Firewall"),
    "PortForwarding": ("SourceNat", "Firewall"),
    "Firewall": ("SourceNat",),
}


def service(parameter: str, name: str) -> str:
    """Return a service as CloudStack spells it; those that are not built yet are refused by name."""
    for known in KNOWN_SERVICES:
        if name.strip().lower() == known.lower():
            return known
    if later(name):
        raise InvalidParameter(f"parameter {parameter}: the service {name} is not supported by this server yet")
    raise InvalidParameter(f"parameter {parameter} must name some of {', '.join(KNOWN_SERVICES)}, not {name[:60]!r}")


def later(name: str) -> bool:
    """Tell whether this is a service of CloudStack that no offering can have yet."""
    return name.strip().lower() in {known.lower() for known in LATER_SERVICES}


entities.register(
    "NetworkOffering",
    network_offering,
    "network offering",
    use=restricted.may_use,
    manage=entities.admin_only,
)


@command("createNetworkOffering", event="NETWORK.OFFERING.CREATE")
class CreateNetworkOffering(Command):
    """Create a network offering: which services networks made from it have; disabled unless enable=true."""

    name: str
    guestiptype: str
    traffictype: str
    displaytext: str | None = None
    supportedservices: list[str] | None = None
    serviceproviderlist: Entries | None = None
    servicecapabilitylist: Entries | None = None
    availability: str = "Optional"
    conservemode: bool = True
    egressdefaultpolicy: bool = True  # as CloudStack, whose own offerings have false
    specifyvlan: bool = False
    ispersistent: bool = False
    networkrate: int | None = None
    maxconnections: int | None = None
    serviceofferingid: Ref | None = None
    tags: str | None = None
    details: dict[str, str] | None = None
    domainid: list[Ref] | None = None
    zoneid: list[Ref] | None = None
    enable: bool = False
    internetprotocol: str = "ipv4"
    networkmode: str = "NATTED"
    specifyipranges: bool = False
    forvpc: bool = False
    fornsx: bool = False
    fortungsten: bool = False
    keepaliveenabled: bool = False
    specifyasnumber: bool = False

    def check(self) -> None:
        """Check the words, the services and what they need."""
        model.one_of("traffictype", self.traffictype, ("Guest",))
        self.guestiptype = model.one_of("guestiptype", self.guestiptype, ("Isolated", "Shared", "L2"))
        if self.guestiptype == "Shared":
            raise InvalidParameter(f"parameter guestiptype: {self.guestiptype} networks are not supported yet")
        self.availability = model.one_of("availability", self.availability, _AVAILABILITIES)
        model.one_of("internetprotocol", self.internetprotocol, ("ipv4",))
        model.one_of("networkmode", self.networkmode, ("NATTED",))
        later = ("specifyipranges", "forvpc", "fornsx", "fortungsten", "keepaliveenabled", "specifyasnumber")
        restricted.refuse_set(self, *later)
        for name in ("networkrate", "maxconnections"):
            if (getattr(self, name) or 0) < 0:
                raise InvalidParameter(f"parameter {name} must not be negative")
        self._services = self._chosen_services()
        self._capabilities = self._chosen_capabilities()

    def _chosen_services(self) -> dict[str, list[str]]:
        chosen = {service("supportedservices", name): [PROVIDER] for name in self.supportedservices or []}
        for entry in self.serviceproviderlist or []:
            fields = {key.lower(): value for key, value in entry.items()}
            if "service" not in fields or "provider" not in fields:
                raise InvalidParameter("parameter serviceproviderlist[i] needs the fields service and provider")
            name = service("serviceproviderlist", fields["service"])
            model.one_of("serviceproviderlist", fields["provider"], (PROVIDER,))
            if self.supportedservices and name not in chosen:
                raise InvalidParameter(f"parameter serviceproviderlist: {name} is missing in supportedservices")
            chosen[name] = [PROVIDER]
        if self.guestiptype == "L2":
            if chosen:
                raise InvalidParameter(
                    "parameter supportedservices: networks of layer 2 have no services on this server"
                )
            return {}
        if not chosen:
            raise MissingParameter("parameter supportedservices is needed: a network has at least one service")
        for name in chosen:
            missing = [needed for needed in _NEEDS.get(name, ()) if needed not in chosen]
            if missing:
                raise InvalidParameter(f"parameter supportedservices: {name} needs {' and '.join(missing)} beside it")
        return chosen

    def _chosen_capabilities(self) -> dict[str, dict[str, str]]:
        chosen: dict[str, dict[str, str]] = {}
        for entry in self.servicecapabilitylist or []:
            fields = {key.lower(): value for key, value in entry.items()}
            if not {"service", "capabilitytype", "capabilityvalue"} <= set(fields):
                raise InvalidParameter(
                    "parameter servicecapabilitylist[i] needs the fields service, capabilitytype and capabilityvalue"
                )
            name = service("servicecapabilitylist", fields["service"])
            if name not in self._services:
                raise InvalidParameter(f"parameter servicecapabilitylist: the offering has no service {name}")
            kind = model.one_of("servicecapabilitylist", fields["capabilitytype"], tuple(CAPABILITIES[name]))
            able = CAPABILITIES[name][kind]
            if fields["capabilityvalue"].lower() != able.lower():
                raise InvalidParameter(
                    f"parameter servicecapabilitylist: {kind} of {name} can only be {able!r} on this server so far"
                )
            chosen.setdefault(name, {})[kind] = able
        return chosen

    def run(self, call: Call) -> dict[str, Any]:
        """Create the offering."""
        offering = self.serviceofferingid
        if offering is not None and not self._services:
            raise InvalidParameter(
                "parameter serviceofferingid is for the router, which networks of layer 2 do not have"
            )
        if offering is not None and not offering.is_system:
            raise InvalidParameter("parameter serviceofferingid must name an offering for system machines")
        uuid = database.new_uuid()
        id_ = database.insert(
            call.db,
            network_offering,
            uuid=uuid,
            name=self.name,
            display_text=self.displaytext or self.name,
            traffic_type="Guest",
            guest_type=self.guestiptype,
            availability=self.availability,
            state="Enabled" if self.enable else "Disabled",
            is_default=False,
            specify_vlan=self.specifyvlan,
            specify_ip_ranges=False,
            conserve_mode=self.conservemode,
            persistent=self.ispersistent,
            egress_default=self.egressdefaultpolicy,
            max_connections=self.maxconnections,
            network_rate=self.networkrate,
            tags=model.pack_tags("tags", self.tags),
            services=self._services,
            capabilities=self._capabilities,
            service_offering_id=offering.id if offering is not None else None,
            details=self.details or {},
            created=database.now(),
            **restricted.chosen(call, self.domainid, self.zoneid),
        )
        call.describe(f"created network offering {self.name}", resource=("NetworkOffering", uuid))
        row = database.one(call.db, network_offering, id_)
        return network_offerings(call.db, [row], admin=call.caller.admin)[0]


@command("updateNetworkOffering", event="NETWORK.OFFERING.EDIT")
class UpdateNetworkOffering(Command):
    """Change a network offering; networks that were made from it keep their services."""

    id: Ref
    name: str | None = None
    displaytext: str | None = None
    availability: str | None = None
    state: str | None = None
    sortkey: int | None = None
    maxconnections: int | None = None
    tags: str | None = None
    keepaliveenabled: bool = False
    domainid: str | None = None  # ids separated by commas, or "public"
    zoneid: str | None = None  # ids separated by commas, or "all"

    def check(self) -> None:
        """Check the words."""
        restricted.refuse_set(self, "keepaliveenabled")
        if self.name is not None and not self.name.strip():
            raise InvalidParameter("parameter name may not be empty")
        if (self.maxconnections or 0) < 0:
            raise InvalidParameter("parameter maxconnections must not be negative")
        if self.availability is not None:
            self.availability = model.one_of("availability", self.availability, _AVAILABILITIES)
        if self.state is not None:
            self.state = model.one_of("state", self.state, _STATES)

    def run(self, call: Call) -> dict[str, Any]:
        """Change what was passed."""
        row = self.id
        passed: dict[str, Any] = {
            "name": self.name,
            "display_text": self.displaytext,
            "availability": self.availability,
            "state": self.state,
            "sort_key": self.sortkey,
            "max_connections": self.maxconnections,
            "tags": None if self.tags is None else model.pack_tags("tags", self.tags),
            **restricted.changed(call, self.domainid, self.zoneid),
        }
        changes = {column: value for column, value in passed.items() if value is not None}
        if changes:
            database.change(call.db, network_offering, row.id, **changes)
        call.describe(f"changed network offering {row.name}", resource=("NetworkOffering", row.uuid))
        fresh = database.one(call.db, network_offering, row.id)
        return network_offerings(call.db, [fresh], admin=call.caller.admin)[0]


@command("listNetworkOfferings")
class ListNetworkOfferings(ListCommand):
    """List the network offerings that are for the caller; everybody but root admins sees the enabled ones."""

    id: Ref | None = None
    name: str | None = None
    displaytext: str | None = None
    availability: str | None = None
    state: str | None = None
    traffictype: str | None = None
    guestiptype: str | None = None
    isdefault: bool | None = None
    istagged: bool | None = None
    tags: str | None = None  # pyright: ignore[reportIncompatibleVariableOverride] (tags of offerings are words)
    forvpc: bool | None = None
    specifyvlan: bool | None = None
    specifyipranges: bool | None = None
    sourcenatsupported: bool | None = None
    supportedservices: list[str] | None = None
    domainid: Ref | None = None
    zoneid: Ref | None = None
    networkid: Ref | None = None

    def query(self, call: Call) -> Query:
        """Return the offerings that match."""
        columns = network_offering.c
        query = Query(network_offering, columns.sort_key, columns.id).equals(columns.id, self.id)
        for column, text in (
            (columns.name, self.name),
            (columns.display_text, self.displaytext),
            (columns.availability, self.availability),
            (columns.state, self.state),
            (columns.traffic_type, self.traffictype),
            (columns.guest_type, self.guestiptype),
        ):
            query.same(column, text)
        query.equals(columns.is_default, self.isdefault).equals(columns.for_vpc, self.forvpc)
        query.equals(columns.specify_vlan, self.specifyvlan).equals(columns.specify_ip_ranges, self.specifyipranges)
        if self.istagged is not None:
            query.where(columns.tags != "" if self.istagged else columns.tags == "")
        if self.tags is not None:
            query.where(columns.tags == model.pack_tags("tags", self.tags))
        self._by_services(query)
        if self.networkid is not None:
            fit = offering_changes.candidates(call, self.networkid)
            query.where(columns.id.in_(fit))
        if not call.caller.admin:
            query.where(columns.state == "Enabled", columns.availability != "Unavailable")
        query.where(
            *restricted.visible(call.db, call.caller, network_offering, domain=self.domainid, zone_row=self.zoneid)
        )
        return query.contains(self.keyword, columns.name, columns.display_text)

    def wanted_tags(self) -> None:
        """Tags of offerings are words, which the query filters by."""

    def _by_services(self, query: Query) -> None:
        text = sa.cast(network_offering.c.services, sa.String)
        for name in self.supportedservices or []:
            if later(name):
                query.where(sa.false())
                continue
            query.where(text.contains(f'"{service("supportedservices", name)}"', autoescape=True))
        if self.sourcenatsupported is not None:
            has = text.contains('"SourceNat"', autoescape=True)
            query.where(has if self.sourcenatsupported else sa.not_(has))

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the network offerings."""
        return network_offerings(call.db, rows, admin=call.caller.admin)


@command("deleteNetworkOffering", event="NETWORK.OFFERING.DELETE")
class DeleteNetworkOffering(Command):
    """Delete a network offering from which no network is made; the cloud's own ones can only be disabled."""

    id: Ref

    def run(self, call: Call) -> Success:
        """Refuse while networks use it, else remove it."""
        row = self.id
        if row.is_default:
            raise InvalidParameter(f"parameter id: {row.name} is the cloud's own offering; disable it instead")
        used = sa.select(network.c.name).where(network.c.offering_id == row.id, network.c.removed.is_(None)).limit(4)
        names = call.db.execute(used).scalars().all()
        if names:
            more = ", …" if len(names) > 3 else ""
            raise InUse(f"the network offering {row.name} is used by {', '.join(names[:3])}{more}; disable it instead")
        database.change(call.db, network_offering, row.id, removed=database.now(), state="Inactive")
        call.describe(f"deleted network offering {row.name}", resource=("NetworkOffering", row.uuid))
        return Success()
