"""Commands that give machines another service offering."""

from __future__ import annotations

from typing import Any

from pileus.compute import expunging, scaling
from pileus.compute.commands.machines import submit, view
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import ConcurrentChange
from pileus.core.parameters import Ref


class Scaling(Command):
    """Base of the two: the machine, its new offering, and what that leaves open."""

    id: Ref
    serviceofferingid: Ref
    details: dict[str, str] = {}


@command("scaleVirtualMachine", event="VM.UPGRADE")
class ScaleVirtualMachine(Scaling):
    """Give a stopped machine another service offering, or another size by a custom one."""

    def run(self, call: Call) -> Any:
        """Start the job."""
        row = self.id
        if not expunging.busy(call.db, [row.id]):
            scaling.check(call.db, row, self.serviceofferingid, self.details)
        call.describe(f"changed the service offering of virtual machine {row.display_name or row.name}")
        return submit(call, row, scaling.scale, offering=self.serviceofferingid.id, details=self.details)


@command("changeServiceForVirtualMachine", event="VM.UPGRADE")
class ChangeServiceForVirtualMachine(Scaling):
    """Give a stopped machine another service offering, at once."""

    def run(self, call: Call) -> dict[str, Any]:
        """Change it, unless a job is at work on it."""
        row = self.id
        if expunging.busy(call.db, [row.id]):
            raise ConcurrentChange(f"a job is at work on virtual machine {row.name}; try again when it has ended")
        scaling.change(call.db, row.id, self.serviceofferingid.id, self.details)
        call.describe(
            f"changed the service offering of virtual machine {row.display_name or row.name}",
            owner=row,
            resource=("VirtualMachine", row.uuid),
        )
        return view(call, row.id)
