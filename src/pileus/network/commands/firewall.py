"""Commands of inbound firewall rules: what is let through to a public address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core import database, jobs
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter
from pileus.core.listing import OwnedListCommand, Query
from pileus.core.parameters import Ref
from pileus.network import addresses, holding, model, rule_jobs, rules, views_rules
from pileus.network.commands.networks import refuse_gone
from pileus.network.tables import network_offering, public_address, rule


def serving(call: Call, address: Row[Any], given: Row[Any] | None, service: str) -> tuple[Row[Any], Row[Any]]:
    """Return the network behind a public address, whose offering must have the service, and the address.

    Both are as they stay until the end of the transaction.
    """
    of = addresses.network_of(call.db, address, given)
    refuse_gone(of)
    if holding.hold(call.db, of.id):
        address = database.one(call.db, public_address, address.id)
        of = addresses.network_of(call.db, address, given)
    needs(call, of, service)
    return of, address


def needs(call: Call, of: Row[Any], service: str) -> None:
    """Raise InvalidParameter unless a network's offering has the service."""
    offering = database.one(call.db, network_offering, of.offering_id)
    if service not in offering.services:
        raise InvalidParameter(f"network {of.name} has no service {service}: its offering {offering.name} lacks it")


def row_of(call: Call, id_: int) -> Row[Any]:
    """Return a rule that was just written."""
    return database.one(call.db, rule, id_)


@command("createFirewallRule", event="FIREWALL.OPEN", manage=("ipaddressid",))
class CreateFirewallRule(Command):
    """Let inbound traffic through to a public address."""

    ipaddressid: Ref
    protocol: str
    startport: int | None = None
    endport: int | None = None
    icmptype: int | None = None
    icmpcode: int | None = None
    cidrlist: list[str] | None = None
    type: str | None = None
    fordisplay: bool = True

    def check(self) -> None:
        """Check what the rule matches."""
        if self.type is not None and self.type.lower() != "user":
            raise InvalidParameter("parameter type must be user")
        self._match = model.match(
            self.protocol,
            self.startport,
            self.endport,
            self.icmptype,
            self.icmpcode,
            allowed=("tcp", "udp", "icmp"),
            sources=model.cidrs("cidrlist", self.cidrlist) or (model.ANYWHERE,),
        )

    def run(self, call: Call) -> jobs.Submission:
        """Refuse a conflict, else write the rule; the job waits until it is in force."""
        of, address = serving(call, self.ipaddressid, None, "Firewall")
        model.refuse_conflict(self._match, rules.of_address(call.db, address.id, model.FIREWALL))
        values = self._match.columns | {"address_id": address.id, "display": self.fordisplay}
        ids, router = rules.add(call.db, of, model.FIREWALL, [values])
        row = row_of(call, ids[0])
        call.describe(f"opened {model.describe(row)} on {address.address}")
        return call.submit(
            rule_jobs.add,
            key=f"rule:{row.id}",
            instance=("FirewallRule", row.uuid),
            owner=row,
            ids=ids,
            router=router,
        )


class RuleList(OwnedListCommand):
    """Base of lists of rules."""

    purpose = ""
    id: Ref | None = None
    ipaddressid: Ref | None = None
    networkid: Ref | None = None
    fordisplay: bool | None = None

    def query(self, call: Call) -> Query:
        """Return the rules that match."""
        columns = rule.c
        query = Query(rule).where(columns.purpose == self.purpose)
        query.equals(columns.id, self.id).equals(columns.address_id, self.ipaddressid)
        query.equals(columns.network_id, self.networkid).equals(columns.display, self.fordisplay)
        query.contains(self.keyword, columns.protocol, sa.cast(columns.start_port, sa.String))
        return self.owned(call, query, by_id=self.id or self.ipaddressid or self.networkid)


@command("listFirewallRules")
class ListFirewallRules(RuleList):
    """List inbound firewall rules."""

    purpose = model.FIREWALL

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the rules."""
        return views_rules.firewall(call.db, rows, admin=call.caller.admin)


def revoke(call: Call, row: Row[Any], purpose: str, what: str, kind: str = "FirewallRule") -> jobs.Submission:
    """Let a rule of some purpose go (with what came with it); the job waits until it is no longer in force."""
    if row.purpose != purpose:
        raise InvalidParameter(f"parameter id names no {what}, but a rule of another kind", uuids=((row.uuid, "id"),))
    found = rules.with_related(call.db, row)
    router = rules.withdraw(call.db, row.network_id, found)
    call.describe(f"deleted {what} {model.describe(row)}")
    return call.submit(
        rule_jobs.revoke,
        key=f"rule:{row.id}",
        instance=(kind, row.uuid),
        owner=row,
        ids=[each.id for each in found],
        router=router,
    )


@command("deleteFirewallRule", event="FIREWALL.CLOSE")
class DeleteFirewallRule(Command):
    """Delete an inbound firewall rule."""

    id: Ref

    def run(self, call: Call) -> jobs.Submission:
        """Let it go."""
        return revoke(call, self.id, model.FIREWALL, "firewall rule")
