"""Commands of static NAT: a public address that leads to one machine as a whole, and from it."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Row

from pileus.core import database, jobs, waiting
from pileus.core.calls import Call, Success
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter, RuleConflict
from pileus.core.parameters import Ref
from pileus.network import holding, model, nics, routers, rule_jobs, rules
from pileus.network.commands.firewall import serving
from pileus.network.commands.forwarding import refuse_unreachable
from pileus.network.tables import public_address


@command("enableStaticNat", event="STATICNAT.ENABLE", manage=("ipaddressid", "virtualmachineid"))
class EnableStaticNat(Command):
    """Map a public address to a machine one to one; firewall rules still say what comes in."""

    ipaddressid: Ref
    virtualmachineid: Ref
    networkid: Ref | None = None
    vmguestip: str | None = None

    def run(self, call: Call) -> Success:
        """Map it; ``finishup`` waits until the router does."""
        db, machine = call.db, self.virtualmachineid
        of, address = serving(call, self.ipaddressid, self.networkid, "StaticNat")
        refuse_unreachable(machine)
        to = nics.reachable(db, machine.id, of.id, self.vmguestip)
        self._refuse_conflict(call, address, to.id)
        call.describe(
            f"mapped {address.address} to machine {machine.name}", owner=address, resource=("IpAddress", address.uuid)
        )
        changed = database.change(
            db,
            public_address,
            address.id,
            expect={"state": model.TAKEN},
            is_static_nat=True,
            machine_id=machine.id,
            nic_id=to.id,
        )
        if not changed:
            raise InvalidParameter(f"parameter ipaddressid: {address.address} is being released")
        wanted = routers.want(db, of.id)
        self._job = jobs.submit(
            db,
            rule_jobs.enable_nat,
            key=f"address:{address.id}",
            arguments={
                "address": address.id,
                "nic": to.id,
                "router": None if wanted is None else wanted[0],
                "again": address.is_static_nat,
            },
            cmd=self.spec.name,
            user_id=call.caller.user_id,
            account_id=call.caller.account_id,
            domain_id=call.caller.domain_id,
            role=call.caller.role,
            admin=call.caller.admin,
            instance_type="IpAddress",
            instance_uuid=address.uuid,
            request=call.request,
        ).id
        return Success()

    def _refuse_conflict(self, call: Call, address: Row[Any], nic_id: int) -> None:
        if address.is_source_nat:
            raise InvalidParameter(
                f"parameter ipaddressid: {address.address} is the source NAT address of its network; take another one"
            )
        if address.is_static_nat and address.nic_id != nic_id:
            raise InvalidParameter(
                f"parameter ipaddressid: {address.address} leads to another machine; call disableStaticNat first"
            )
        if rules.of_address(call.db, address.id, model.FORWARDING):
            raise RuleConflict(
                f"{address.address} has port-forwarding rules; delete them before it leads to a machine as a whole"
            )
        other = nics.static_nat_of(call.db, [nic_id]).get(nic_id)
        if other is not None and other.id != address.id:
            raise InvalidParameter(
                f"parameter virtualmachineid: {other.address} leads to this machine; disable that first",
                uuids=((other.uuid, "ipaddressid"),),
            )

    def finishup(self, services: Any, result: Any) -> Any:
        """Wait for the router."""
        waiting.wait(services, self._job)
        return result


@command("disableStaticNat", event="STATICNAT.DISABLE", manage=("ipaddressid",))
class DisableStaticNat(Command):
    """Take the static NAT of a public address away, with the address's firewall rules."""

    ipaddressid: Ref

    def run(self, call: Call) -> jobs.Submission:
        """Take it away; the job waits until the router has."""
        db, row = call.db, self.ipaddressid
        if row.is_static_nat and holding.hold(db, row.network_id):
            row = database.one(db, public_address, row.id)
        if not row.is_static_nat:
            raise InvalidParameter(f"parameter ipaddressid: {row.address} has no static NAT")
        rules.unmap(db, [row.id])
        found = rules.of_address(db, row.id)
        router = rules.withdraw(db, row.network_id, found)
        call.describe(f"took the static NAT of {row.address} away")
        return call.submit(
            rule_jobs.disable_nat,
            key=f"address:{row.id}",
            instance=("IpAddress", row.uuid),
            owner=row,
            address=row.id,
            machine=row.machine_id,
            nic=row.nic_id,
            ids=[each.id for each in found],
            router=router,
        )
