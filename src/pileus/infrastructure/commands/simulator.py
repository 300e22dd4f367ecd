"""Commands that make simulated hosts slow or failing, to try out what the cloud makes of it."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call, Success
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter, MissingParameter
from pileus.core.parameters import Ref
from pileus.drivers.simulator import mocks, operations

_KINDS = {kind.lower(): kind for kind in operations.kinds} | {
    name.lower(): kind for name, kind in mocks.AGENT_COMMANDS.items()
}
_MOST_SECONDS = 3600


@command("configureSimulator")
class ConfigureSimulator(Command):
    """Make simulated hosts slow or failing at a kind of operation.

    ``name``: an operation such as machine.start, or CloudStack's StartCommand.  ``value``: parts with | between them:
    wait:MILLISECONDS, timeout:SECONDS (no answer for so long, then an error), result:fail, enabled:false (nothing).
    """

    name: str
    value: str
    zoneid: Ref | None = None
    podid: Ref | None = None
    clusterid: Ref | None = None
    hostid: Ref | None = None
    count: int | None = None

    def check(self) -> None:
        """Check the name, the value and the count."""
        kind = _KINDS.get(self.name.strip().lower())
        if kind is None:
            known = ", ".join(sorted(operations.kinds))
            raise InvalidParameter(f"parameter name must be one of {known} (or CloudStack's StartCommand, ...)")
        self._kind = kind
        self._faults = _parse(self.value)
        if self.count is not None and self.count < 1:
            raise InvalidParameter("parameter count must be at least 1; leave it out for always")

    def run(self, call: Call) -> dict[str, Any]:
        """Store the fault; it befalls operations from now on."""
        row = mocks.add(
            call.db,
            self._kind,
            {
                place: chosen.id if (chosen := getattr(self, f"{place}id")) is not None else None
                for place in mocks.PLACES
            },
            count=self.count,
            **self._faults,
        )
        database.after_commit(call.db, lambda: mocks.changed(call.db))
        call.describe(f"simulated hosts: {self._kind} {self.value}")
        return _view(row)


def _parse(value: str) -> dict[str, Any]:
    """Read "wait:1000|result:fail"."""
    found: dict[str, Any] = {}
    for part in filter(None, (piece.strip() for piece in value.split("|"))):
        key, _, text = part.partition(":")
        key, text = key.strip().lower(), text.strip().lower()
        if key in ("wait", "timeout"):
            most = _MOST_SECONDS * (1000 if key == "wait" else 1)
            if not (text.isascii() and text.isdigit() and len(text) < 9 and int(text) <= most):
                raise InvalidParameter(f"parameter value: {key} must be a number up to {most}, not {text[:20]!r}")
            found[key] = int(text)
        elif key == "result" and text in ("fail", "true", "success"):
            found["fails"] = text == "fail"
        elif key == "enabled" and text in ("true", "false"):
            if text == "false":
                return {}
        else:
            raise InvalidParameter(
                f"parameter value must be made of wait:MILLISECONDS, timeout:SECONDS, result:fail and enabled:false "
                f"with | between them, not {part[:40]!r}"
            )
    return found


def _view(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.kind,
        "count": row.left,
        "zoneid": row.zone_id,
        "podid": row.pod_id,
        "clusterid": row.cluster_id,
        "hostid": row.host_id,
    }


@command("querySimulatorMock")
class QueryMock(Command):
    """Show a fault of simulated hosts, with how often it will still happen."""

    id: int | None = None

    def run(self, call: Call) -> dict[str, Any]:
        """Return it."""
        if self.id is None:
            raise MissingParameter("parameter id is needed: the number that configureSimulator answered")
        row = mocks.find(call.db, self.id)
        if row is None:
            raise InvalidParameter(f"parameter id: simulated hosts have no fault {self.id}")
        return _view(row)


@command("cleanupSimulatorMock")
class CleanupMock(Command):
    """Let simulated hosts work again: remove one fault, or without id all of them."""

    id: int | None = None

    def run(self, call: Call) -> Success:
        """Remove it."""
        if not mocks.remove(call.db, self.id) and self.id is not None:
            raise InvalidParameter(f"parameter id: simulated hosts have no fault {self.id}")
        database.after_commit(call.db, lambda: mocks.changed(call.db))
        call.describe("simulated hosts work again")
        return Success()
