"""Commands of hosts' maintenance, and where a machine could go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import Row

from pileus.compute import maintenance, placement, starting
from pileus.core import database
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InUse, InvalidParameter
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Ref
from pileus.infrastructure import host_views, workflows
from pileus.infrastructure.tables import host


@command("prepareHostForMaintenance", event="MAINT.PREPARE")
class PrepareHost(Command):
    """Take a host out of service: nothing new is placed there, what can leave does, then it is in Maintenance."""

    id: Ref

    def run(self, call: Call) -> Any:
        """Mark the host and start the job."""
        row = self.id
        if not database.change(
            call.db,
            host,
            row.id,
            expect={"resource_state": maintenance.ASKABLE},
            resource_state=maintenance.PREPARING,
        ):
            raise InvalidParameter(
                f"parameter id: host {row.name} is {row.resource_state}; it must be "
                f"{' or '.join(maintenance.ASKABLE)} to be prepared for maintenance"
            )
        call.describe(f"preparing host {row.name} for maintenance")
        return call.submit(
            maintenance.maintain, key=maintenance.key(row.id), instance=("Host", row.uuid), host_id=row.id
        )


@command("cancelHostMaintenance", event="MAINT.CANCEL")
class CancelMaintenance(Command):
    """Take a host back from maintenance, or from the preparation for it; stopped machines stay stopped."""

    id: Ref

    def run(self, call: Call) -> Any:
        """Enable the host; the job shows it."""
        row = self.id
        if not database.change(
            call.db,
            host,
            row.id,
            expect={"resource_state": maintenance.CANCELLABLE},
            resource_state=maintenance.ENABLED,
        ):
            raise InvalidParameter(
                f"parameter id: host {row.name} is {row.resource_state}; there is no maintenance to cancel"
            )
        call.describe(f"cancelling the maintenance of host {row.name}")
        return call.submit(
            workflows.show, key=maintenance.key(row.id), instance=("Host", row.uuid), kind="host", row_id=row.id
        )


@command("releaseHostReservation", event="HOST.RESERVATION.RELEASE")
class ReleaseReservation(Command):
    """Make sure that a host holds no capacity for machines that do not run there; refused while some do."""

    id: Ref

    def run(self, call: Call) -> Any:
        """Give back what nobody uses."""
        row = self.id
        there = maintenance.machines_on(call.db, row.id)
        if there:
            names = ", ".join(each.name for each in there[:5])
            raise InUse(f"host {row.name} holds its capacity for {len(there)} virtual machines ({names})")
        database.change(call.db, host, row.id, used_cpu_mhz=0, used_memory_mib=0)
        call.describe(f"released the reservations on host {row.name}")
        return call.submit(workflows.deleted, key=maintenance.key(row.id), instance=("Host", row.uuid))


@command("findHostsForMigration")
class FindHosts(ListCommand):
    """List the other hosts that a machine's storage and size would let it run on; the fit ones are marked."""

    virtualmachineid: Ref

    def query(self, call: Call) -> Query:
        """Return the hosts of the machine's zone with its hypervisor, but its own."""
        row = self.virtualmachineid
        if row.host_id is None:
            raise InvalidParameter(f"parameter virtualmachineid: machine {row.name} is {row.state}, not on any host")
        query = Query(host).equals(host.c.zone_id, row.zone_id).where(host.c.id != row.host_id)
        return query.where(host.c.hypervisor == row.hypervisor).contains(self.keyword, host.c.name)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the hosts, with whether each has room and fits."""
        request = starting.wish(call.db, self.virtualmachineid)
        fit, roomy = placement.candidates(call.db, request)
        found = host_views.hosts(call.db, rows, admin=call.caller.admin)
        for row, view in zip(rows, found, strict=True):
            view["suitableformigration"] = row.id in fit
            view["hasenoughcapacity"] = row.id in roomy
            view["requiresStorageMotion"] = False
        return found
