"""Commands that change machines that are there."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.compute import (
    access,
    expunging,
    lease_ends,
    leases,
    limits,
    model,
    options,
    ordering,
    renewing,
    settings,
    stopping,
    usage,
    views,
    workflows,
)
from pileus.compute.commands.deploy import place
from pileus.compute.tables import machine, service_offering
from pileus.core import attachments, database
from pileus.core.calls import USER, Call
from pileus.core.commands import Command, command
from pileus.core.errors import ConcurrentChange, InvalidParameter, PermissionDenied
from pileus.core.parameters import Entries, Ref
from pileus.identity import store as identity
from pileus.infrastructure.model import one_of
from pileus.infrastructure.tables import zone
from pileus.network import nics as network_nics
from pileus.network.tables import nic
from pileus.scheduling import planners
from pileus.storage.tables import volume
from pileus.storage.volumes import DATA, DESTROY, READY


def expect(call: Call, row: Row[Any], states: tuple[str, ...], verb: str) -> None:
    """Refuse a machine in another state, unless a job is at work on it: then that job's end decides."""
    if row.state not in states and not expunging.busy(call.db, [row.id]):
        raise InvalidParameter(
            f"virtual machine {row.name} is {row.state}; to be {verb} it must be {' or '.join(states)}",
            uuids=((row.uuid, "id"),),
        )


def submit(call: Call, row: Row[Any], workflow: Any, **arguments: Any) -> Any:
    """Start a job on a machine."""
    return call.submit(
        workflow,
        key=workflows.key(row.id),
        instance=("VirtualMachine", row.uuid),
        owner=row,
        machine=row.id,
        **arguments,
    )


def view(call: Call, id_: int) -> dict[str, Any]:
    """Return a machine as an answer."""
    row = database.one(call.db, machine, id_)
    return views.machines(call.db, [row], admin=call.caller.admin)[0]


def networks_of(call: Call, row: Row[Any]) -> list[int]:
    """Return the networks that a machine is plugged into."""
    statement = sa.select(nic.c.network_id).where(nic.c.machine_id == row.id, nic.c.removed.is_(None))
    return list(call.db.execute(statement.order_by(nic.c.device_id)).scalars())


@command("startVirtualMachine", event="VM.START")
class StartVirtualMachine(Command):
    """Start a stopped machine."""

    id: Ref
    hostid: Ref | None = None
    podid: Ref | None = None
    clusterid: Ref | None = None
    considerlasthost: bool = True
    deploymentplanner: str | None = None

    def check(self) -> None:
        """Check the planner's name."""
        if self.deploymentplanner is not None:
            self.deploymentplanner = one_of("deploymentplanner", self.deploymentplanner, planners.NAMES)

    def run(self, call: Call) -> Any:
        """Start the job."""
        row: Row[Any] = self.id
        if not call.caller.admin and (self.hostid or self.podid or self.clusterid):
            raise PermissionDenied("parameters hostid, podid and clusterid are for root admins")
        expect(call, row, (model.STOPPED,), "started")
        identity.refuse_idle(call.db, row.account_id)
        where = place(database.one(call.db, zone, row.zone_id), self.hostid, self.podid, self.clusterid)
        where = msgspec.structs.replace(where, planner=self.deploymentplanner or "", anew=not self.considerlasthost)
        call.describe(f"started virtual machine {row.display_name or row.name}")
        unready = network_nics.unready(call.db, networks_of(call, row))
        return submit(call, row, workflows.start, where=msgspec.to_builtins(where), implement=unready)


@command("stopVirtualMachine", event="VM.STOP")
class StopVirtualMachine(Command):
    """Stop a machine; forced pulls the plug at once."""

    id: Ref
    forced: bool = False

    def run(self, call: Call) -> Any:
        """Start the job."""
        row: Row[Any] = self.id
        expect(call, row, (model.RUNNING, model.STOPPED, model.STOPPING), "stopped")
        call.describe(f"stopped virtual machine {row.display_name or row.name}")
        return submit(call, row, stopping.stop, forced=self.forced)


@command("rebootVirtualMachine", event="VM.REBOOT")
class RebootVirtualMachine(Command):
    """Restart a running machine, volatile ones with a new root disk; forced pulls the plug instead of asking."""

    id: Ref
    forced: bool = False

    def run(self, call: Call) -> Any:
        """Start the job."""
        row: Row[Any] = self.id
        expect(call, row, (model.RUNNING,), "rebooted")
        call.describe(f"rebooted virtual machine {row.display_name or row.name}")
        volatile = database.one(call.db, service_offering, row.service_offering_id).is_volatile
        return submit(call, row, renewing.renew if volatile else stopping.reboot, forced=self.forced)


def may_expunge(call: Call, parameter: str) -> None:
    """Refuse users, who may not delete machines for good, or bring them back, unless a setting allows it."""
    if call.caller.role == USER and not call.services.settings.get(settings.USER_EXPUNGE):
        raise PermissionDenied(
            f"{parameter} is for admins, as long as the setting {settings.USER_EXPUNGE.name} is false"
        )


@command("destroyVirtualMachine", event="VM.DESTROY")
class DestroyVirtualMachine(Command):
    """Destroy a machine: it is stopped, and deleted for good after a while, or at once when asked to."""

    id: Ref
    expunge: bool = False
    volumeids: list[Ref] = []

    def run(self, call: Call) -> Any:
        """Start the job."""
        row: Row[Any] = self.id
        if self.expunge:
            may_expunge(call, "parameter expunge")
        expect(call, row, (model.RUNNING, model.STOPPED, model.ERROR, model.DESTROYED), "destroyed")
        if row.state == model.DESTROYED and not self.expunge:
            return submit(call, row, stopping.destroy, expunge=False, volumes=[])  # as CloudStack: it is done already
        if row.delete_protection:
            raise InvalidParameter(
                f"virtual machine {row.name} is protected from deletion; updateVirtualMachine deleteprotection=false "
                "allows it",
                uuids=((row.uuid, "id"),),
            )
        for each in self.volumeids:
            if each.machine_id != row.id or each.type != DATA:
                raise InvalidParameter(f"parameter volumeids: {each.name} is no data volume of {row.name}")
        call.describe(f"destroyed virtual machine {row.display_name or row.name}")
        expunge = self.expunge or row.state == model.ERROR
        return submit(call, row, stopping.destroy, expunge=expunge, volumes=[each.id for each in self.volumeids])


@command("expungeVirtualMachine", event="VM.EXPUNGE")
class ExpungeVirtualMachine(Command):
    """Delete for good what is left of a destroyed machine."""

    id: Ref

    def run(self, call: Call) -> Any:
        """Start the job."""
        row: Row[Any] = self.id
        may_expunge(call, "expungeVirtualMachine")
        expect(call, row, (model.DESTROYED, model.ERROR, model.EXPUNGING), "expunged")
        call.describe(f"expunged virtual machine {row.display_name or row.name}")
        return submit(call, row, expunging.expunge)


@command("recoverVirtualMachine", event="VM.RECOVER")
class RecoverVirtualMachine(Command):
    """Bring back a destroyed machine that is not expunged yet; it is stopped then."""

    id: Ref

    def run(self, call: Call) -> dict[str, Any]:
        """Make it stopped again, with its volumes."""
        row: Row[Any] = self.id
        may_expunge(call, "recoverVirtualMachine")
        if row.state != model.DESTROYED or expunging.busy(call.db, [row.id]):
            raise InvalidParameter(f"virtual machine {row.name} is {row.state}; only a destroyed one can be recovered")
        limits.claim_again(call.db, row)
        if not database.change(
            call.db,
            machine,
            row.id,
            expect={"state": model.DESTROYED},
            state=model.STOPPED,
            destroyed=None,
            updated=database.now(),
        ):
            raise ConcurrentChange(f"virtual machine {row.name} is being expunged")
        usage.machine_changed(call.db, row.id, usage.CREATED)
        usage.volumes_changed(call.db, usage.volumes_of(call.db, row.id, DESTROY), usage.VOLUME_CREATED)
        call.db.execute(
            sa.update(volume)
            .where(volume.c.machine_id == row.id, volume.c.state == DESTROY, volume.c.removed.is_(None))
            .values(state=READY, destroyed=None)
        )
        call.describe(
            f"recovered virtual machine {row.display_name or row.name}",
            owner=row,
            resource=("VirtualMachine", row.uuid),
        )
        return view(call, row.id)


@command("updateVirtualMachine", event="VM.UPDATE")
class UpdateVirtualMachine(Command):
    """Change a machine's names, user data, details and marks."""

    id: Ref
    name: str | None = None
    displayname: str | None = None
    displayvm: bool | None = None
    group: str | None = None
    haenable: bool | None = None
    isdynamicallyscalable: bool | None = None
    ostypeid: Ref | None = None
    userdata: str | None = None
    userdataid: Ref | None = None
    userdatadetails: dict[str, str] = {}
    details: dict[str, str] = {}
    cleanupdetails: bool = False
    deleteprotection: bool | None = None
    leaseduration: int | None = None
    leaseexpiryaction: str | None = None
    customid: str | None = None
    instancename: str | None = None
    extraconfig: str | None = None
    dhcpoptionsnetworklist: Entries | None = None

    def check(self) -> None:
        """Check name and user data."""
        if self.name is not None:
            model.host_name("name", self.name)
        self.details = options.chosen(model.keyboard(self.details, None))
        self.customid = model.custom_id(self.customid)
        if self.instancename is not None:
            model.host_name("instancename", self.instancename)
        self.leaseexpiryaction = leases.check(self.leaseduration, self.leaseexpiryaction, none=True)
        if self.userdata:
            self.userdata = model.user_data(self.userdata)
        if self.cleanupdetails and self.details:
            raise InvalidParameter("parameters details and cleanupdetails exclude each other")

    def run(self, call: Call) -> dict[str, Any]:
        """Change the row; the routers learn of a new name or new user data."""
        row: Row[Any] = self.id
        if row.state in (model.DESTROYED, model.EXPUNGING):
            raise InvalidParameter(f"virtual machine {row.name} is {row.state} and cannot be changed")
        networks = networks_of(call, row)
        offering = database.one(call.db, service_offering, row.service_offering_id)
        if self.isdynamicallyscalable and not offering.dynamic_scaling:
            raise InvalidParameter("parameter isdynamicallyscalable: the machine's service offering does not allow it")
        changes = self._changes(row) | self._identity(call, row)
        if self.extraconfig:
            kept = changes.get("details", row.details)
            changes["details"] = kept | options.configured(call, row.account_id, self.extraconfig)
        told = options.dhcp(call, self.dhcpoptionsnetworklist, networks)
        network_nics.tell(call.db, row.id, told)
        changes |= leases.changed(call.services, row, self.leaseduration, self.leaseexpiryaction)
        if self.userdata or self.userdataid is not None:
            own = self.userdata or None
            changes |= access.data(call, None, own=own, chosen=self.userdataid, details=self.userdatadetails)
        elif self.userdata is not None:
            changes |= {"user_data_id": None, "user_data_details": None}
        if "name" in changes:
            ordering.free_name(call.db, changes["name"], networks, parameter="name", but=row.id)
        if changes:
            database.change(call.db, machine, row.id, **changes, updated=database.now())
        if changes.get("lease_state") == leases.CANCELLED:
            lease_ends.tell(call.db, row, "VM.LEASE.CANCELLED", f"the lease of virtual machine {row.name} is cancelled")
        if "uuid" in changes:
            attachments.renamed(call.db, row.uuid, changes["uuid"])
        for network_id in networks:
            if {"name", "user_data", "uuid"} & set(changes) or network_id in told:
                network_nics.desire_router(call.db, network_id)
        call.describe(
            f"updated virtual machine {row.display_name or row.name}",
            owner=row,
            resource=("VirtualMachine", changes.get("uuid", row.uuid)),
        )
        return view(call, row.id)

    def _identity(self, call: Call, row: Row[Any]) -> dict[str, Any]:
        """Return a new id and name on the hypervisor, of a machine that no host knows yet."""
        if self.customid is None and self.instancename is None:
            return {}
        if row.state != model.STOPPED or row.last_host_id is not None or expunging.busy(call.db, [row.id]):
            raise InvalidParameter(
                f"parameters customid and instancename: a host knows virtual machine {row.name} by id and name; they "
                "can be chosen before its first start (deployVirtualMachine startvm=false)"
            )
        changes: dict[str, Any] = {} if self.customid is None else {"uuid": self.customid}
        if self.instancename is not None:
            taken = sa.select(machine.c.uuid).where(
                machine.c.instance_name == self.instancename, machine.c.id != row.id, machine.c.removed.is_(None)
            )
            if call.db.execute(taken).first() or re.fullmatch(r"[irvs]-\d+-.*", self.instancename):
                raise InvalidParameter(f"parameter instancename: {self.instancename} is taken or the cloud's to give")
            changes["instance_name"] = self.instancename
        return changes

    def _changes(self, row: Row[Any]) -> dict[str, Any]:
        wanted: dict[str, Any] = {
            "name": self.name,
            "display_name": self.displayname,
            "display": self.displayvm,
            "group_name": self.group,
            "ha_enabled": self.haenable,
            "dynamic_scaling": self.isdynamicallyscalable,
            "os_type_id": self.ostypeid.id if self.ostypeid is not None else None,
            "user_data": self.userdata,
            "delete_protection": self.deleteprotection,
        }
        changes = {column: value for column, value in wanted.items() if value is not None}
        if self.haenable:
            raise InvalidParameter("parameter haenable=true is not supported by this server yet; leave it out")
        if self.details or self.cleanupdetails:
            if row.state not in (model.STOPPED, model.ERROR):
                raise InvalidParameter(f"virtual machine {row.name} is {row.state}; stop it to change its details")
            sized = [key for key in self.details if key.lower() in ("cpunumber", "cpuspeed", "memory")]
            if sized:
                raise InvalidParameter(f"parameter details: {', '.join(sized)} cannot be changed in this way")
            changes["details"] = {} if self.cleanupdetails else self.details | options.extra_kept(row.details)
        return changes
