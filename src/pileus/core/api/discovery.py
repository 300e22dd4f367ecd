"""listApis: the commands that the caller may call."""

from __future__ import annotations

from pileus.core import discovery, permissions
from pileus.core.calls import Call
from pileus.core.commands import Command, Listed, command
from pileus.core.errors import InvalidParameter


@command("listApis")
class ListApis(Command):
    """List the commands that the caller may call, with their parameters and answers."""

    name: str | None = None

    def run(self, call: Call) -> Listed:
        found = discovery.catalogue(permissions.allowed(call.services, call.caller))
        if self.name is not None:
            found = [entry for entry in found if entry["name"].lower() == self.name.lower()]
            if not found:
                raise InvalidParameter(f"parameter name: there is no command {self.name[:64]!r} for this role")
        return Listed(found, len(found))
