"""Commands of egress firewall rules: the exceptions from what a network's offering says of outbound traffic."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import Row

from pileus.core import database, jobs
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter
from pileus.core.parameters import Ref
from pileus.network import holding, model, rule_jobs, rules, views_rules
from pileus.network.commands.firewall import RuleList, needs, revoke, row_of
from pileus.network.commands.networks import refuse_gone
from pileus.network.tables import network


@command("createEgressFirewallRule", event="FIREWALL.EGRESS.OPEN", manage=("networkid",))
class CreateEgressFirewallRule(Command):
    """Make an exception from a network's default policy for outbound traffic."""

    networkid: Ref
    protocol: str
    startport: int | None = None
    endport: int | None = None
    icmptype: int | None = None
    icmpcode: int | None = None
    cidrlist: list[str] | None = None
    destcidrlist: list[str] | None = None
    type: str | None = None
    fordisplay: bool = True

    def check(self) -> None:
        """Check what the rule matches."""
        if self.type is not None and self.type.lower() != "user":
            raise InvalidParameter("parameter type must be user")
        self._sources = model.cidrs("cidrlist", self.cidrlist)
        self._destinations = model.cidrs("destcidrlist", self.destcidrlist) or (model.ANYWHERE,)
        self._match = self._with(self._sources)

    def _with(self, sources: tuple[str, ...]) -> model.Match:
        return model.match(
            self.protocol,
            self.startport,
            self.endport,
            self.icmptype,
            self.icmpcode,
            allowed=("tcp", "udp", "icmp", "all"),
            sources=sources,
            destinations=self._destinations,
        )

    def run(self, call: Call) -> jobs.Submission:
        """Refuse a conflict, else write the rule; the job waits until it is in force."""
        of = self.networkid
        refuse_gone(of)
        if holding.hold(call.db, of.id):
            of = database.one(call.db, network, of.id)
        needs(call, of, "Firewall")
        inside = ipaddress.IPv4Network(of.cidr)
        for text in self._sources:
            if text != model.ANYWHERE and not ipaddress.IPv4Network(text, strict=False).subnet_of(inside):
                raise InvalidParameter(
                    f"parameter cidrlist: {text} is not within the network's own addresses, {inside}"
                )
        match = self._with(self._sources or (of.cidr,))
        model.refuse_conflict(match, rules.egress_of(call.db, of.id))
        ids, router = rules.add(call.db, of, model.EGRESS, [match.columns | {"display": self.fordisplay}])
        row = row_of(call, ids[0])
        call.describe(f"made an egress rule for {model.describe(row)} of network {of.name}")
        return call.submit(
            rule_jobs.add,
            key=f"rule:{row.id}",
            instance=("FirewallRule", row.uuid),
            owner=row,
            ids=ids,
            router=router,
        )


@command("listEgressFirewallRules")
class ListEgressFirewallRules(RuleList):
    """List egress firewall rules."""

    purpose = model.EGRESS

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the rules."""
        return views_rules.firewall(call.db, rows, admin=call.caller.admin)


@command("deleteEgressFirewallRule", event="FIREWALL.EGRESS.CLOSE")
class DeleteEgressFirewallRule(Command):
    """Delete an egress firewall rule."""

    id: Ref

    def run(self, call: Call) -> jobs.Submission:
        """Let it go."""
        return revoke(call, self.id, model.EGRESS, "egress firewall rule")
