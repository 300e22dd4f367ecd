"""Commands of IP forwarding rules: ports of a public address with static NAT that the firewall lets in.

The address leads to its machine as a whole already, so such a rule moves nothing; it opens the firewall (unless
openfirewall=false) and keeps the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import Row

from pileus.core import jobs
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter, RuleConflict
from pileus.core.listing import OwnedListCommand, Query
from pileus.core.parameters import Ref
from pileus.network import model, rule_jobs, rules, views_rules
from pileus.network.commands.firewall import revoke, row_of, serving
from pileus.network.tables import rule


@command("createIpForwardingRule", event="NET.RULEADD", manage=("ipaddressid",))
class CreateIpForwardingRule(Command):
    """Open ports of a public address that has static NAT."""

    ipaddressid: Ref
    protocol: str
    startport: int
    endport: int | None = None
    cidrlist: list[str] | None = None
    openfirewall: bool = True

    def check(self) -> None:
        """Check protocol and ports."""
        self.protocol = model.protocol(self.protocol, ("tcp", "udp"))
        self._ports = model.ports(self.startport, self.endport, ("startport", "endport"))
        self._sources = model.cidrs("cidrlist", self.cidrlist) or (model.ANYWHERE,)

    def run(self, call: Call) -> jobs.Submission:
        """Refuse a conflict, else write the rule; the job waits until it is in force."""
        of, address = serving(call, self.ipaddressid, None, "StaticNat")
        if not address.is_static_nat:
            raise InvalidParameter(
                f"parameter ipaddressid: {address.address} has no static NAT; call enableStaticNat first",
                uuids=((address.uuid, "ipaddressid"),),
            )
        match = model.Match(protocol=self.protocol, start=self._ports[0], end=self._ports[1], sources=self._sources)
        self._refuse_conflict(call)
        values = match.columns | {"address_id": address.id}
        target = {"machine_id": address.machine_id, "nic_id": address.nic_id}
        ids, router = rules.add(call.db, of, model.STATIC_NAT, [values | target])
        others = rules.of_address(call.db, address.id, model.FIREWALL)
        if self.openfirewall and not model.opened(match, others):
            model.refuse_conflict(match, others)
            opening, router = rules.add(call.db, of, model.FIREWALL, [values | {"related_id": ids[0]}])
            ids += opening
        row = row_of(call, ids[0])
        call.describe(f"opened {self.protocol} {self._ports[0]} of {address.address}, which has static NAT")
        return call.submit(
            rule_jobs.add,
            key=f"rule:{row.id}",
            instance=("FirewallRule", row.uuid),
            owner=row,
            ids=ids,
            router=router,
        )

    def _refuse_conflict(self, call: Call) -> None:
        for other in rules.of_address(call.db, self.ipaddressid.id, model.STATIC_NAT):
            if other.protocol == self.protocol and model.overlap(self._ports, (other.start_port, other.end_port)):
                raise RuleConflict(
                    f"the range {self._ports[0]}-{self._ports[1]} conflicts with rule {other.uuid}, which has "
                    f"{other.protocol} {other.start_port}-{other.end_port} of the same address",
                    uuids=((other.uuid, "rule"),),
                )


@command("listIpForwardingRules")
class ListIpForwardingRules(OwnedListCommand):
    """List IP forwarding rules."""

    id: Ref | None = None
    ipaddressid: Ref | None = None
    virtualmachineid: Ref | None = None

    def query(self, call: Call) -> Query:
        """Return the rules that match."""
        query = Query(rule).where(rule.c.purpose == model.STATIC_NAT)
        query.equals(rule.c.id, self.id).equals(rule.c.address_id, self.ipaddressid)
        query.equals(rule.c.machine_id, self.virtualmachineid).contains(self.keyword, rule.c.protocol)
        return self.owned(call, query, by_id=self.id or self.ipaddressid or self.virtualmachineid)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the rules."""
        return views_rules.ip_forwarding(call.db, rows, admin=call.caller.admin)


@command("deleteIpForwardingRule", event="NET.RULEDELETE")
class DeleteIpForwardingRule(Command):
    """Delete an IP forwarding rule, and the firewall rule that came with it."""

    id: Ref

    def run(self, call: Call) -> jobs.Submission:
        """Let it go."""
        return revoke(call, self.id, model.STATIC_NAT, "IP forwarding rule")
