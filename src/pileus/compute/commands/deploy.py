"""deployVirtualMachine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.compute import access, disks, leases, limits, model, options, ordering, settings, starting, usage, workflows
from pileus.compute.tables import machine
from pileus.core import database
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter, PermissionDenied
from pileus.core.parameters import Entries, Ref
from pileus.core.secrets import random_password
from pileus.identity import store as identity
from pileus.infrastructure import hypervisor_limits
from pileus.infrastructure.model import one_of
from pileus.network import nics as network_nics
from pileus.scheduling import planners
from pileus.storage import offerings
from pileus.storage.tables import volume
from pileus.storage.volumes import ALLOCATED, DATA, ROOT

VNC_PASSWORD = 8
"""Characters of a console's password: VNC takes no more."""


@command("deployVirtualMachine", event="VM.CREATE", manage=())
class DeployVirtualMachine(Command):
    """Create a machine from a template, and start it unless told otherwise."""

    zoneid: Ref
    serviceofferingid: Ref
    templateid: Ref | None = None
    name: str | None = None
    displayname: str | None = None
    account: str | None = None
    domainid: Ref | None = None
    projectid: Ref | None = None
    networkids: list[Ref] = []
    iptonetworklist: Entries | None = None
    ipaddress: str | None = None
    macaddress: str | None = None
    hypervisor: str | None = None
    hostid: Ref | None = None
    podid: Ref | None = None
    clusterid: Ref | None = None
    startvm: bool = True
    rootdisksize: int | None = None
    diskofferingid: Ref | None = None
    size: int | None = None
    datadiskofferinglist: Entries | None = None
    overridediskofferingid: Ref | None = None
    details: dict[str, str] = {}
    userdata: str | None = None
    userdataid: Ref | None = None
    userdatadetails: dict[str, str] = {}
    keypair: str | None = None
    keypairs: list[str] = []
    group: str | None = None
    displayvm: bool = True
    dynamicscalingenabled: bool = False
    password: str | None = None
    deploymentplanner: str | None = None
    keyboard: str | None = None
    boottype: str | None = None
    bootmode: str | None = None
    customid: str | None = None
    leaseduration: int | None = None
    leaseexpiryaction: str | None = None
    iothreadsenabled: bool | None = None
    iodriverpolicy: str | None = None
    nicmultiqueuenumber: int | None = None
    nicpackedvirtqueuesenabled: bool | None = None
    extraconfig: str | None = None
    dhcpoptionsnetworklist: Entries | None = None

    def check(self) -> None:
        """Check names, addresses and user data."""
        if self.name is not None:
            model.host_name("name", self.name)
        if self.userdata is not None:
            self.userdata = model.user_data(self.userdata)
        self.customid = model.custom_id(self.customid)
        self.details = options.chosen(
            model.keyboard(self.details, self.keyboard),
            threads=self.iothreadsenabled,
            policy=self.iodriverpolicy,
            queues=self.nicmultiqueuenumber,
            packed=self.nicpackedvirtqueuesenabled,
        )
        model.refuse_uefi(self.boottype, self.bootmode)
        if self.deploymentplanner is not None:
            self.deploymentplanner = one_of("deploymentplanner", self.deploymentplanner, planners.NAMES)
        self.leaseexpiryaction = leases.check(self.leaseduration, self.leaseexpiryaction, none=True)
        if self.password is not None and len(self.password) < 6:
            raise InvalidParameter("parameter password must be at least 6 characters long")

    def run(self, call: Call) -> Any:
        """Write the machine with its volumes and NICs, and start the job that brings it up."""
        if self.templateid is None:
            raise InvalidParameter("parameter templateid is missing: machines are deployed from templates here")
        template: Row[Any] = self.templateid
        owner = identity.owner(call, self.account, self.domainid, self.projectid)
        where = self._where(call)
        self._rules(call, template)
        size, details = model.size(self.serviceofferingid, self.details)
        root, data, details = self._disks(call, template, details)
        details |= options.configured(call, owner.account_id, self.extraconfig)
        plugs = ordering.nics(
            call,
            self.zoneid,
            owner,
            networks=self.networkids,
            entries=self.iptonetworklist,
            address=self.ipaddress,
            mac=self.macaddress,
        )
        if self.customid is not None and not call.caller.admin:
            raise PermissionDenied("parameter customid is for root admins")
        uuid = self.customid or database.new_uuid()
        name = self.name or f"VM-{uuid}"
        if self.name is not None:
            ordering.free_name(call.db, self.name, [plug.network.id for plug in plugs], parameter="name")
        password = self._password(call, template)
        made: dict[str, Any] = {"uuid": uuid, "name": name, "password": password, "details": details}
        made["extra"] = access.keys(call, owner, self.keypair, self.keypairs) | access.data(
            call, template, own=self.userdata, chosen=self.userdataid, details=self.userdatadetails
        )
        made["extra"] |= leases.columns(
            call.services, self.serviceofferingid, self.leaseduration, self.leaseexpiryaction
        )
        self._claim(call, owner, size, root, data)
        machine_id = self._insert(call, owner, template, size, **made)
        self._insert_volumes(call, owner, machine_id, root, data)
        networks = self._plug(call, machine_id, plugs)
        call.describe(f"deployed virtual machine {self.displayname or name}")
        return call.submit(
            workflows.deploy,
            key=workflows.key(machine_id),
            instance=("VirtualMachine", uuid),
            owner=owner,
            machine=machine_id,
            where=msgspec.to_builtins(where),
            implement=networks if self.startvm else [],
            start=self.startvm,
            password=password or "",
        )

    def _claim(
        self, call: Call, owner: Row[Any], size: model.Size, root: disks.RootOrder, data: Sequence[disks.DiskOrder]
    ) -> None:
        service = self.serviceofferingid
        sized = [(disk.size, disks.terms_of(service, disk.offering).tags) for disk in (root, *data)]
        limits.claim(call.db, owner.account_id, size, service.host_tags, sized, runs=self.startvm)

    def _where(self, call: Call) -> starting.Where:
        if self.hostid is not None and not call.caller.admin:
            raise PermissionDenied("parameter hostid is for root admins")
        where = place(self.zoneid, self.hostid, self.podid, self.clusterid)
        return msgspec.structs.replace(where, planner=self.deploymentplanner or "")

    def _rules(self, call: Call, template: Row[Any]) -> None:
        """Check what depends on the rows that are named."""
        if self.hypervisor is not None and self.hypervisor.strip().lower() != template.hypervisor.lower():
            raise InvalidParameter(
                f"parameter hypervisor: template {template.name} is for {template.hypervisor}, "
                f"not for {self.hypervisor[:40]!r}"
            )
        offering = self.serviceofferingid
        if offering.is_system:
            raise InvalidParameter(f"parameter serviceofferingid: {offering.name} is for the system's own machines")
        offerings.usable("serviceofferingid", offering, self.zoneid)
        ordering.ready_template(call.db, template, self.zoneid)

    def _disks(
        self, call: Call, template: Row[Any], details: dict[str, str]
    ) -> tuple[disks.RootOrder, list[disks.DiskOrder], dict[str, str]]:
        """Return the root disk, the data disks, and the details that are left."""
        said, left = disks.choices(details)
        service = self.serviceofferingid
        by = disks.root_offering(call.db, service, self.overridediskofferingid, self.zoneid)
        root = disks.root(call, template, disks.terms_of(service, by), said.for_root(by, self.rootdisksize))
        data = disks.data(call, self.zoneid, said.for_data(self.diskofferingid, self.size), self.datadiskofferinglist)
        hypervisor_limits.check_data_volumes(call.db, template.hypervisor, len(data))
        return root, data, left

    def _password(self, call: Call, template: Row[Any]) -> str | None:
        """Return the first password, encrypted, of a machine whose template takes one."""
        if not template.password_enabled:
            if self.password is not None:
                raise InvalidParameter(f"parameter password: template {template.name} does not take passwords")
            return None
        clear = self.password or random_password(call.services.settings.get(settings.PASSWORD_LENGTH))
        return call.services.secrets.encrypt(clear)

    def _insert(
        self,
        call: Call,
        owner: Row[Any],
        template: Row[Any],
        size: model.Size,
        *,
        uuid: str,
        name: str,
        password: str | None,
        details: dict[str, str],
        extra: dict[str, Any],
    ) -> int:
        moment = database.now()
        id_ = database.insert(
            call.db,
            machine,
            uuid=uuid,
            name=name,
            display_name=self.displayname or name,
            instance_name="",
            account_id=owner.account_id,
            domain_id=owner.domain_id,
            user_id=call.caller.user_id,
            zone_id=self.zoneid.id,
            template_id=template.id,
            service_offering_id=self.serviceofferingid.id,
            os_type_id=template.os_type_id,
            cpus=size.cpus,
            cpu_mhz=size.cpu_mhz,
            memory_mib=size.memory_mib,
            hypervisor=template.hypervisor,
            state=model.STOPPED,
            **extra,
            password=password,
            password_id=database.new_uuid() if password else None,
            vnc_password=call.services.secrets.encrypt(random_password(VNC_PASSWORD)),
            details=details,
            display=self.displayvm,
            dynamic_scaling=self.dynamicscalingenabled,
            group_name=self.group,
            created=moment,
            updated=moment,
        )
        call.db.execute(
            sa.update(machine).where(machine.c.id == id_).values(instance_name=f"i-{owner.account_id}-{id_}-VM")
        )
        return id_

    def _insert_volumes(
        self,
        call: Call,
        owner: Row[Any],
        machine_id: int,
        root: disks.RootOrder,
        data: Sequence[disks.DiskOrder],
    ) -> None:
        common: dict[str, Any] = {
            "account_id": owner.account_id,
            "domain_id": owner.domain_id,
            "zone_id": self.zoneid.id,
            "machine_id": machine_id,
            "state": ALLOCATED,
            "display": self.displayvm,
            "created": database.now(),
        }
        rows = [
            common
            | {
                "uuid": database.new_uuid(),
                "name": f"ROOT-{machine_id}",
                "type": ROOT,
                "device_id": 0,
                "size": root.size,
                "min_iops": root.min_iops,
                "max_iops": root.max_iops,
                "service_offering_id": self.serviceofferingid.id,
                "disk_offering_id": root.offering.id if root.offering is not None else None,
                "template_id": self.templateid.id if self.templateid is not None else None,
            }
        ]
        rows += [
            common
            | {
                "uuid": database.new_uuid(),
                "name": f"DATA-{machine_id}" + (f"-{number}" if len(data) > 1 else ""),
                "type": DATA,
                "device_id": disk.device,
                "size": disk.size,
                "min_iops": disk.min_iops,
                "max_iops": disk.max_iops,
                "service_offering_id": None,
                "disk_offering_id": disk.offering.id,
                "template_id": None,
            }
            for number, disk in enumerate(data)
        ]
        call.db.execute(sa.insert(volume), rows)
        usage.machine_changed(call.db, machine_id, usage.CREATED)
        usage.volumes_changed(call.db, usage.volumes_of(call.db, machine_id), usage.VOLUME_CREATED)

    def _plug(self, call: Call, machine_id: int, plugs: Sequence[ordering.NicOrder]) -> list[int]:
        """Make the NICs; return the networks that are not ready for machines yet."""
        told = options.dhcp(call, self.dhcpoptionsnetworklist, [plug.network.id for plug in plugs])
        for number, plug in enumerate(plugs):
            network_nics.allocate(
                call.db,
                plug.network,
                machine_id,
                address=plug.address,
                mac=plug.mac,
                parameters=plug.parameters,
                device_id=number,
                is_default=number == 0,
                dhcp_options=told.get(plug.network.id),
            )
            network_nics.desire_router(call.db, plug.network.id)
        return network_nics.unready(call.db, [plug.network.id for plug in plugs])


def place(zone: Row[Any], on: Row[Any] | None, pod: Row[Any] | None, cluster: Row[Any] | None) -> starting.Where:
    """Return where a machine shall go, checked against its zone."""
    for parameter, row in (("hostid", on), ("podid", pod), ("clusterid", cluster)):
        if row is not None and row.zone_id != zone.id:
            raise InvalidParameter(f"parameter {parameter}: {row.name} is not in zone {zone.name}")
    return starting.Where(
        pod=pod.id if pod is not None else None,
        cluster=cluster.id if cluster is not None else None,
        host=on.id if on is not None else None,
    )
