"""Commands that share networks: accounts and projects whose machines may be in a network beside its owner's."""

from __future__ import annotations

from typing import Any

from pileus.core.calls import Call, Listed, Success
from pileus.core.commands import Command, command
from pileus.core.parameters import Ref
from pileus.identity import sharing
from pileus.network.commands.networks import refuse_gone
from pileus.network.tables import network_permission


class _Change(Command):
    """Base of the commands that name accounts and projects."""

    networkid: Ref
    accounts: list[str] | None = None
    accountids: list[str] | None = None
    projectids: list[Ref] | None = None

    def _named(self, call: Call) -> set[int]:
        refuse_gone(self.networkid)
        call.describe(f"changed who may use network {self.networkid.name}", owner=self.networkid)
        return sharing.named(call, self.networkid, names=self.accounts, ids=self.accountids, projects=self.projectids)


@command("createNetworkPermissions", event="NETWORK.UPDATE", manage=("networkid",))
class CreateNetworkPermissions(_Change):
    """Let machines of other accounts and projects into a network; only the network itself, not its rules, is shared."""

    def run(self, call: Call) -> Success:
        """Add the permissions."""
        sharing.grant(call.db, network_permission, self.networkid.id, self._named(call))
        return Success()


@command("removeNetworkPermissions", event="NETWORK.UPDATE", manage=("networkid",))
class RemoveNetworkPermissions(_Change):
    """Let no more machines of these accounts and projects into a network; those that are in it stay."""

    def run(self, call: Call) -> Success:
        """Remove the permissions."""
        sharing.revoke(call.db, network_permission, self.networkid.id, self._named(call))
        return Success()


@command("resetNetworkPermissions", event="NETWORK.UPDATE", manage=("networkid",))
class ResetNetworkPermissions(Command):
    """Take a network back for its owner alone; machines of others that are in it stay."""

    networkid: Ref

    def run(self, call: Call) -> Success:
        """Remove all permissions."""
        call.describe(f"changed who may use network {self.networkid.name}", owner=self.networkid)
        sharing.revoke(call.db, network_permission, self.networkid.id)
        return Success()


@command("listNetworkPermissions", manage=("networkid",))
class ListNetworkPermissions(Command):
    """List the accounts and projects that a network is shared with: its owner and the admins are told."""

    networkid: Ref

    def run(self, call: Call) -> Listed:
        """Return one object for each."""
        found: list[dict[str, Any]] = []
        for row, domain, project in sharing.holders(call.db, network_permission, self.networkid.id):
            view = {"networkid": self.networkid.uuid, "domainid": domain.uuid, "domain": domain.name}
            if project is None:
                view |= {"accountid": row.uuid, "account": row.name}
            else:
                view |= {"projectid": project.uuid, "project": project.name}
            found.append(view)
        return Listed(found, len(found))
