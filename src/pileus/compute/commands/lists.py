"""listVirtualMachines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.compute import access, leases, model, settings, views
from pileus.compute.tables import machine
from pileus.core.calls import USER, Call
from pileus.core.commands import command
from pileus.core.errors import InvalidParameter
from pileus.core.listing import OwnedListCommand, Query
from pileus.core.parameters import Ref
from pileus.network.tables import network, nic
from pileus.storage.tables import volume

_PRESENT = "present"


@command("listVirtualMachines", ignored=("accumulate",))
class ListVirtualMachines(OwnedListCommand):
    """List machines."""

    id: Ref | None = None
    ids: list[Ref] = []
    name: str | None = None
    state: str | None = None
    zoneid: Ref | None = None
    podid: Ref | None = None
    clusterid: Ref | None = None
    hostid: Ref | None = None
    storageid: Ref | None = None
    networkid: Ref | None = None
    templateid: Ref | None = None
    serviceofferingid: Ref | None = None
    userid: Ref | None = None
    hypervisor: str | None = None
    arch: str | None = None
    haenable: bool | None = None
    keypair: str | None = None
    displayvm: bool | None = None
    forvirtualnetwork: bool | None = None
    userdata: bool = False
    userdataid: Ref | None = None
    leased: bool | None = None
    isvnf: bool | None = None
    gpuenabled: bool | None = None
    details: list[str] = []

    def check(self) -> None:
        """Check paging and the words."""
        super().check()
        views.wanted_details(self.details)
        if self.state is not None and self.state.lower() not in {s.lower() for s in (*model.STATES, _PRESENT)}:
            raise InvalidParameter(f"parameter state must be Present or one of {', '.join(model.STATES)}")

    def query(self, call: Call) -> Query:
        """Return what was asked for, oldest first."""
        c = machine.c
        query = Query(machine)
        self.owned(call, query, by_id=self.id or self.ids or None)
        query.equals(c.id, self.id).equals(c.id, self.ids).contains(self.name, c.name).equals(c.zone_id, self.zoneid)
        query.equals(c.pod_id, self.podid).equals(c.cluster_id, self.clusterid).equals(c.host_id, self.hostid)
        query.equals(c.template_id, self.templateid).equals(c.service_offering_id, self.serviceofferingid)
        query.equals(c.user_id, self.userid).same(c.hypervisor, self.hypervisor).equals(c.ha_enabled, self.haenable)
        query.equals(c.display, self.displayvm).equals(c.user_data_id, self.userdataid)
        if self.leased is not None:
            runs = sa.func.coalesce(c.lease_state, "") == leases.PENDING
            query.where(runs if self.leased else sa.not_(runs))
        if self.keypair is not None:
            query.where(access.has_key(c.key_pairs, self.keypair))
        query.contains(self.keyword, c.name, c.display_name, *((c.instance_name,) if call.caller.admin else ()))
        self._by_state(call, query)
        self._by_parts(query)
        if not call.caller.admin:
            query.where(c.display.is_(True))
        if (self.arch is not None and self.arch != "x86_64") or self.isvnf or self.gpuenabled:
            query.where(sa.false())  # there are no such machines
        return query

    def _by_state(self, call: Call, query: Query) -> None:
        """Filter by state; machines that users have destroyed are shown to them only when a setting says so."""
        c = machine.c
        if self.state is not None and self.state.lower() != _PRESENT:
            query.where(c.state == next(s for s in model.STATES if s.lower() == (self.state or "").lower()))
        elif self.state is not None:
            query.where(c.state.not_in((model.DESTROYED, model.EXPUNGING)))
        who = call.caller
        scopes = (("account", who.account_id), ("domain", who.domain_id))
        if who.role == USER and not call.services.settings.get(settings.VIEW_DESTROYED, *scopes):
            query.where(c.state.not_in((model.DESTROYED, model.EXPUNGING)))

    def _by_parts(self, query: Query) -> None:
        """Filter by networks and storage that machines have a part in."""
        c = machine.c
        plugged = sa.select(nic.c.machine_id).where(nic.c.removed.is_(None), nic.c.machine_id.is_not(None))
        if self.networkid is not None:
            query.where(c.id.in_(plugged.where(nic.c.network_id == self.networkid.id)))
        if self.forvirtualnetwork is not None:
            kind = network.c.guest_type == "Isolated" if self.forvirtualnetwork else network.c.guest_type != "Isolated"
            query.where(c.id.in_(plugged.where(nic.c.network_id.in_(sa.select(network.c.id).where(kind)))))
        if self.storageid is not None:
            stored = sa.select(volume.c.machine_id).where(
                volume.c.pool_id == self.storageid.id, volume.c.removed.is_(None), volume.c.machine_id.is_not(None)
            )
            query.where(c.id.in_(stored))

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the page."""
        return views.machines(
            call.db,
            rows,
            admin=call.caller.admin,
            details=views.wanted_details(self.details),
            user_data=self.userdata,
        )
