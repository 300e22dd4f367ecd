"""updateStorageCapabilities."""

from __future__ import annotations

from pileus.core.calls import Call, Listed
from pileus.core.commands import Command, command
from pileus.core.parameters import Ref
from pileus.storage import pools


@command("updateStorageCapabilities")
class UpdateStorageCapabilities(Command):
    """Show what a primary storage can do; its driver tells that itself, so nothing can be out of date."""

    id: Ref

    def run(self, call: Call) -> Listed:
        """Answer the storage; a list of one."""
        return Listed(pools.storage_pools(call.db, [self.id], admin=call.caller.admin), 1)
