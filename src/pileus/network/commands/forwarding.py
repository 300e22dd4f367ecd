"""Commands of port-forwarding rules: public ports that lead to a machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import Row

from pileus.core import database, jobs
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter, RuleConflict
from pileus.core.parameters import Ref
from pileus.network import model, nics, rule_jobs, rules, views_rules
from pileus.network.commands.firewall import RuleList, revoke, row_of, serving
from pileus.network.tables import network_offering

UNREACHABLE = ("Destroyed", "Expunging", "Error")
"""States of machines that no rule may lead to."""


def refuse_unreachable(machine: Row[Any]) -> None:
    """Raise InvalidParameter for a machine that is gone, or nearly."""
    if machine.state in UNREACHABLE:
        raise InvalidParameter(
            f"parameter virtualmachineid: machine {machine.name} is {machine.state}",
            uuids=((machine.uuid, "virtualmachineid"),),
        )


@command("createPortForwardingRule", event="NET.RULEADD", manage=("ipaddressid", "virtualmachineid"))
class CreatePortForwardingRule(Command):
    """Forward public ports to a machine; unless openfirewall=false the firewall is opened for them too."""

    ipaddressid: Ref
    virtualmachineid: Ref
    protocol: str
    publicport: int
    privateport: int
    publicendport: int | None = None
    privateendport: int | None = None
    networkid: Ref | None = None
    vmguestip: str | None = None
    cidrlist: list[str] | None = None
    openfirewall: bool = True
    fordisplay: bool = True

    def check(self) -> None:
        """Check protocol and ports: as many public as private ones."""
        self.protocol = model.protocol(self.protocol, ("tcp", "udp"))
        self._public = model.ports(self.publicport, self.publicendport, ("publicport", "publicendport"))
        self._private = model.ports(self.privateport, self.privateendport, ("privateport", "privateendport"))
        self._sources = model.cidrs("cidrlist", self.cidrlist) or (model.ANYWHERE,)
        public, private = self._count(self._public), self._count(self._private)
        if public != private:
            raise InvalidParameter(
                f"parameters publicport to publicendport are {public} ports, privateport to privateendport {private}: "
                "make them as many"
            )

    def _count(self, ports: tuple[int | None, int | None]) -> int:
        return (ports[1] or 0) - (ports[0] or 0) + 1

    def run(self, call: Call) -> jobs.Submission:
        """Refuse a conflict, else write the rule; the job waits until it is in force."""
        machine = self.virtualmachineid
        of, address = serving(call, self.ipaddressid, self.networkid, "PortForwarding")
        refuse_unreachable(machine)
        to = nics.reachable(call.db, machine.id, of.id, self.vmguestip)
        self._refuse_conflict(call, of, address)
        values: dict[str, Any] = {
            "address_id": address.id,
            "protocol": self.protocol,
            "start_port": self._public[0],
            "end_port": self._public[1],
            "private_start": self._private[0],
            "private_end": self._private[1],
            "sources": list(self._sources),
            "machine_id": machine.id,
            "nic_id": to.id,
            "display": self.fordisplay,
        }
        ids, router = rules.add(call.db, of, model.FORWARDING, [values])
        if self.openfirewall:
            opening = self._opening(call, ids[0])
            if opening is not None:
                more, router = rules.add(call.db, of, model.FIREWALL, [opening])
                ids += more
        row = row_of(call, ids[0])
        call.describe(f"forwarded {self.protocol} {self._public[0]} of {address.address} to machine {machine.name}")
        return call.submit(
            rule_jobs.add,
            key=f"rule:{row.id}",
            instance=("PortForwardingRule", row.uuid),
            owner=row,
            ids=ids,
            router=router,
        )

    def _refuse_conflict(self, call: Call, of: Row[Any], address: Row[Any]) -> None:
        if address.is_static_nat:
            raise RuleConflict(
                f"{address.address} leads to a machine as a whole (static NAT), so its ports cannot be forwarded; call "
                "disableStaticNat first",
                uuids=((address.uuid, "ipaddressid"),),
            )
        offering = database.one(call.db, network_offering, of.offering_id)
        if address.is_source_nat and not offering.conserve_mode:
            raise InvalidParameter(
                f"parameter ipaddressid: {address.address} is the network's source NAT address, which offering "
                f"{offering.name} keeps for that alone (conservemode=false); take another one"
            )
        for other in rules.of_address(call.db, address.id, model.FORWARDING):
            if other.protocol == self.protocol and model.overlap(self._public, (other.start_port, other.end_port)):
                raise RuleConflict(
                    f"the range {self._public[0]}-{self._public[1]} conflicts with rule {other.uuid}, which forwards "
                    f"{other.protocol} {other.start_port}-{other.end_port} of {address.address}",
                    uuids=((other.uuid, "rule"),),
                )

    def _opening(self, call: Call, forwarding: int) -> dict[str, Any] | None:
        """Return the firewall rule that comes and goes with this one; None where these ports are open already."""
        match = model.Match(protocol=self.protocol, start=self._public[0], end=self._public[1], sources=self._sources)
        others = rules.of_address(call.db, self.ipaddressid.id, model.FIREWALL)
        if model.opened(match, others):
            return None
        model.refuse_conflict(match, others)
        return match.columns | {"address_id": self.ipaddressid.id, "related_id": forwarding, "display": self.fordisplay}


@command("listPortForwardingRules")
class ListPortForwardingRules(RuleList):
    """List port-forwarding rules."""

    purpose = model.FORWARDING

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the rules."""
        return views_rules.forwarding(call.db, rows, admin=call.caller.admin)


@command("deletePortForwardingRule", event="NET.RULEDELETE")
class DeletePortForwardingRule(Command):
    """Delete a port-forwarding rule, and the firewall rule that came with it."""

    id: Ref

    def run(self, call: Call) -> jobs.Submission:
        """Let it go."""
        return revoke(call, self.id, model.FORWARDING, "port-forwarding rule", "PortForwardingRule")
