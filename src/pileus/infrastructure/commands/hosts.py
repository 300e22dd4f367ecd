"""Commands of hosts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call, Listed, Success
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter, MissingParameter
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Ref
from pileus.infrastructure import (
    access_groups,
    candidates,
    dedication,
    host_servers,
    host_views,
    hosts,
    hypervisor_limits,
    model,
    reconnecting,
    usage,
)
from pileus.infrastructure.tables import cluster, host

_FREE = (model.ENABLED, model.DISABLED)
"""States between which updateHost changes a host; what else there is, other commands set and end."""
_NOT_THERE = frozenset({"machine.last_host_id", "dedication"})  # where a machine ran once binds nothing


@command("addHost")
class AddHost(Command):
    """Add a host to a cluster.

    KVM: the agent must have enrolled; the URL names it by https://ADDRESS[:PORT], or by its uuid as the path.
    Simulator: any URL that no other host has, such as http://sim/c0/h0.
    """

    hypervisor: str
    url: str
    zoneid: Ref
    podid: Ref
    clusterid: Ref | None = None
    clustername: str | None = None
    hosttags: list[str] | None = None
    allocationstate: str | None = None
    username: str | None = None  # kept for whoever administers the host; our agents have certificates
    password: str | None = None
    storageaccessgroups: list[str] | None = None

    def check(self) -> None:
        """Check the words and the URL."""
        self.hypervisor = model.one_of("hypervisor", self.hypervisor, model.HYPERVISORS)
        if self.allocationstate:
            self.allocationstate = model.allocation_state(self.allocationstate)
        hosts.parse_url(self.url)
        if self.clusterid is None and not self.clustername:
            raise MissingParameter("one of the parameters clusterid and clustername is needed")

    def run(self, call: Call) -> Listed:
        """Insert the host; the answer is a list of one."""
        if self.podid.zone_id != self.zoneid.id:
            raise InvalidParameter(f"parameter podid: pod {self.podid.name} is not in zone {self.zoneid.name}")
        place = self._cluster(call)
        hypervisor_limits.check_hosts(call.db, place)
        if self.hypervisor == model.SIMULATOR:
            taken = sa.select(host.c.name).where(host.c.url == self.url, host.c.removed.is_(None))
            name = call.db.execute(taken).scalar()
            if name is not None:
                raise InvalidParameter(f"parameter url: the host {name} has this URL already")
            found = hosts.simulated(self.url)
        else:
            found = hosts.find_agent(call.db, self.url, reconnecting.silence(call.services.settings))
        row = hosts.store(
            call.db,
            place,
            self.url,
            found,
            tags=model.pack_tags("hosttags", self.hosttags),
            resource_state=self.allocationstate or model.ENABLED,
            groups=access_groups.pack(self.storageaccessgroups),
        )
        if self.username or self.password:
            secret = call.services.secrets.encrypt(self.password) if self.password else None
            database.change(call.db, host, row.id, username=self.username or None, password=secret)
            row = database.one(call.db, host, row.id)
        call.describe(f"added host {row.name} to cluster {place.name}", resource=("Host", row.uuid))
        return Listed(host_views.hosts(call.db, [row], admin=True), 1)

    def _cluster(self, call: Call) -> Row[Any]:
        place = self.clusterid
        if place is None:
            named = sa.select(cluster).where(
                cluster.c.pod_id == self.podid.id, cluster.c.name == self.clustername, cluster.c.removed.is_(None)
            )
            place = call.db.execute(named).one_or_none()
        if place is None or place.pod_id != self.podid.id:
            raise InvalidParameter(f"parameter clusterid or clustername: pod {self.podid.name} has no such cluster")
        if place.hypervisor != self.hypervisor:
            raise InvalidParameter(
                f"parameter hypervisor: cluster {place.name} is for {place.hypervisor}, not {self.hypervisor}"
            )
        return place


@command("updateHost")
class UpdateHost(Command):
    """Change a host's name, tags, or whether it takes new machines (allocationstate Enable or Disable).

    With istagarule the tags are an expression over the tags of the offerings whose machines the host takes, such as
    tags.indexOf('ssd') >= 0.  Hosts with an OS category come first for guests of that kind, and last for others.
    """

    id: Ref
    name: str | None = None
    allocationstate: str | None = None
    hosttags: list[str] | None = None
    istagarule: bool = False
    oscategoryid: Ref | None = None
    annotation: str | None = None

    def check(self) -> None:
        """Check that a rule is there where one is announced, and the note."""
        if self.istagarule and not self.hosttags:
            raise MissingParameter("parameter istagarule needs the rule in parameter hosttags")
        if self.annotation is not None and not self.annotation.strip():
            raise InvalidParameter("parameter annotation may not be empty")

    def run(self, call: Call) -> dict[str, Any]:
        """Change what was passed."""
        row = self.id
        changes: dict[str, Any] = {}
        if self.allocationstate is not None:
            changes["resource_state"] = self._resource_state(row)
        if self.name is not None:
            if not self.name.strip():
                raise InvalidParameter("parameter name may not be empty")
            changes["name"] = self.name.strip()
        if self.hosttags is not None:
            changes |= model.tags_or_rule("hosttags", self.hosttags, rule=self.istagarule)
        if self.oscategoryid is not None:
            changes["os_category_id"] = self.oscategoryid.id
        free = {"resource_state": _FREE} if "resource_state" in changes else None
        if changes and not database.change(call.db, host, row.id, expect=free, **changes):
            raise InvalidParameter(
                f"parameter allocationstate: host {row.name} is neither Enabled nor Disabled any more"
            )
        if self.annotation is not None:
            hosts.annotate(call, row, self.annotation)
        call.describe(f"changed host {row.name}", resource=("Host", row.uuid))
        return host_views.hosts(call.db, [database.one(call.db, host, row.id)], admin=call.caller.admin)[0]

    def _resource_state(self, row: Row[Any]) -> str:
        words = ("Enable", "Disable", model.ENABLED, model.DISABLED)
        word = model.one_of("allocationstate", self.allocationstate or "", words)
        wanted = model.ENABLED if word.startswith("Enable") else model.DISABLED
        if row.resource_state not in _FREE:
            raise InvalidParameter(f"parameter allocationstate: host {row.name} is in state {row.resource_state}")
        return wanted


_NO_POWER = "Disabled"
_POWER_STATES = ("On", "Off", "Unknown", _NO_POWER)


@command("listHosts")
class ListHosts(ListCommand):
    """List hosts."""

    id: Ref | None = None
    name: str | None = None
    zoneid: Ref | None = None
    podid: Ref | None = None
    clusterid: Ref | None = None
    hypervisor: str | None = None
    type: str | None = None
    state: str | None = None
    resourcestate: str | None = None
    version: str | None = None
    arch: str | None = None
    hahost: bool | None = None
    storageaccessgroup: str | None = None
    managementserverid: str | None = None
    virtualmachineid: Ref | None = None
    outofbandmanagementenabled: bool | None = None
    outofbandmanagementpowerstate: str | None = None
    details: list[str] | None = None

    def check(self) -> None:
        """Check paging and the groups of fields."""
        super().check()
        for group in self.details or []:
            model.one_of("details", group, host_views.GROUPS)
        if self.outofbandmanagementpowerstate is not None:
            model.one_of("outofbandmanagementpowerstate", self.outofbandmanagementpowerstate, _POWER_STATES)

    def query(self, call: Call) -> Query:
        """Return the hosts that match."""
        columns = host.c
        query = Query(host).equals(columns.id, self.id).equals(columns.zone_id, self.zoneid)
        query.equals(columns.pod_id, self.podid).equals(columns.cluster_id, self.clusterid)
        query.same(columns.name, self.name).same(columns.hypervisor, self.hypervisor)
        query.same(columns.state, self.state).same(columns.resource_state, self.resourcestate)
        if (self.type or "Routing").lower() != "routing" or self.hahost:
            query.where(sa.false())  # all our hosts are Routing ones, none is kept aside for high availability
        power = (self.outofbandmanagementpowerstate or _NO_POWER).lower()
        if self.outofbandmanagementenabled or power != _NO_POWER.lower():
            query.where(sa.false())  # no host's power is managed
        if self.storageaccessgroup is not None:
            query.where(access_groups.carries(columns.access_groups, self.storageaccessgroup))
        if self.managementserverid is not None:
            query.where(host_servers.looked_after(call.db, self.managementserverid))
        if self.virtualmachineid is not None:
            query.where(*candidates.conditions(self.virtualmachineid))
        if self.version is not None:
            query.where(columns.facts["version"].as_string() == self.version)
        if self.arch is not None:  # facts leave out what is usual
            query.where(sa.func.coalesce(columns.facts["architecture"].as_string(), model.ARCHITECTURE) == self.arch)
        return query.contains(self.keyword, columns.name, columns.state, columns.address)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the hosts."""
        groups = frozenset(group.lower() for group in self.details or ["all"])
        found = host_views.hosts(call.db, rows, admin=call.caller.admin, groups=groups)
        if self.virtualmachineid is not None:
            more = candidates.fields(call.db, self.virtualmachineid, rows)
            found = [view | more[row.id] for row, view in zip(rows, found, strict=True)]
        return found


@command("reconnectHost", event="HOST.RECONNECT")
class ReconnectHost(Command):
    """Ask a host's agent who it is and what it has, and take the host back when it answers."""

    id: Ref

    def run(self, call: Call) -> Any:
        """Start the job."""
        if self.id.state == "Removed":
            raise InvalidParameter(f"parameter id: host {self.id.name} was removed")
        within = database.one(call.db, cluster, self.id.cluster_id)
        if within.managed_state != "Managed":
            raise InvalidParameter(
                f"parameter id: host {self.id.name} is in the unmanaged cluster {within.name}; make that managed first "
                "(updateCluster)"
            )
        call.describe(f"reconnecting host {self.id.name}")
        return call.submit(
            reconnecting.reconnect, key=f"host:{self.id.id}", instance=("Host", self.id.uuid), host_id=self.id.id
        )


@command("deleteHost")
class DeleteHost(Command):
    """Delete a host that is in maintenance, or away, and used by nothing; with forced, any: what ran counts as stopped.

    With forcedestroylocalstorage the host's own storage goes too, and all machines and volumes on it.
    """

    id: Ref
    forced: bool = False
    forcedestroylocalstorage: bool = False

    def run(self, call: Call) -> Success:
        """Refuse while anything uses the host, else remove it."""
        row = self.id
        if self.forced:
            hosts.let_go(call.db, row)
        if self.forcedestroylocalstorage:
            hosts.give_storage_up(call.db, row)
        usage.refuse_used(call.db, host, row, "host", ignore=_NOT_THERE)
        if not self.forced and row.state == "Up" and row.resource_state != model.MAINTENANCE:
            raise InvalidParameter(
                f"parameter id: host {row.name} is {row.state} and {row.resource_state}: prepare it for maintenance "
                "first (prepareHostForMaintenance), or delete it with forced=true"
            )
        dedication.release(call.db, "host", row, must=False)
        database.change(
            call.db,
            host,
            row.id,
            removed=database.now(),
            state="Removed",
            resource_state=model.DISABLED,
        )
        call.describe(f"deleted host {row.name}", resource=("Host", row.uuid))
        return Success()
