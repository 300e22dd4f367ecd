"""Commands that take management servers out of service: they finish their jobs, and end when told to."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call, Success
from pileus.core.commands import Command, command
from pileus.core.errors import InUse, InvalidParameter
from pileus.core.jobs.membership import MAINTENANCE, PREPARING_MAINTENANCE, PREPARING_SHUTDOWN, SHUTTING_DOWN
from pileus.core.jobs.tables import server
from pileus.core.settings import declare
from pileus.infrastructure import agent_servers, model
from pileus.resources.commands.servers import DOWN, UP, Facts

READY = "ReadyToShutDown"
WINDOW = declare(
    "management.server.maintenance.timeout",
    int,
    60,
    "minutes that a management server which goes into maintenance waits for its jobs",
    minimum=1,
)


def _find(call: Call, parameter: str, name: str) -> tuple[Facts, Row[Any]]:
    facts = Facts(call.db)
    for row in facts.servers:
        if row.name == name:
            return facts, row
    raise InvalidParameter(f"parameter {parameter} names no management server ({name[:64]})")


class _Told(Command):
    """Base: a server is told to be something, or asked how far it is."""

    managementserverid: str

    def _tell(self, call: Call, allowed: tuple[str, ...], state: str | None, **more: Any) -> dict[str, Any]:
        facts, row = _find(call, "managementserverid", self.managementserverid)
        now = facts.state(row)
        if now not in allowed:
            raise InvalidParameter(
                f"parameter managementserverid: the server is {now}; it must be {' or '.join(allowed)} for this"
            )
        call.db.execute(sa.update(server).where(server.c.uuid == row.uuid).values(state=state, **more))
        _obey(call, row, state, str(more.get("algorithm") or ""))
        call.describe(f"management server {row.name}: {state or UP}")
        return _view(call, row.name)


def _obey(call: Call, row: Row[Any], state: str | None, algorithm: str) -> None:
    """Let the server that is asked obey at once when it is the one; others do with their next heartbeat."""
    engine = call.services.engine
    if engine is not None and engine.membership.uuid == row.uuid:

        def obey() -> None:
            engine.membership.state = state or ""
            engine.membership.algorithm = algorithm

        database.after_commit(call.db, obey)


def _view(call: Call, name: str) -> dict[str, Any]:
    facts, row = _find(call, "managementserverid", name)
    state, agents = facts.state(row), facts.agents.get(row.uuid, [])
    return {
        "managementserverid": row.name,
        "state": state,
        "shutdowntriggered": row.state == SHUTTING_DOWN,
        "maintenanceinitiated": row.state == PREPARING_MAINTENANCE,
        "readyforshutdown": row.state in (PREPARING_SHUTDOWN, SHUTTING_DOWN) and not facts.unfinished(row),
        "pendingjobscount": facts.unfinished(row),
        "agents": agents,
        "agentscount": len(agents),
    }


@command("prepareForShutdown", event="MS.SHUTDOWN.PREPARE")
class PrepareForShutdown(_Told):
    """Let a management server take no new jobs and finish those that it has."""

    def run(self, call: Call) -> dict[str, Any]:
        """Tell it."""
        return self._tell(call, (UP,), PREPARING_SHUTDOWN)


@command("triggerShutdown", event="MS.SHUTDOWN")
class TriggerShutdown(_Told):
    """Let a management server end once it has finished its jobs."""

    def run(self, call: Call) -> dict[str, Any]:
        """Tell it."""
        return self._tell(call, (UP, PREPARING_SHUTDOWN, READY, PREPARING_MAINTENANCE, MAINTENANCE), SHUTTING_DOWN)


@command("cancelShutdown", event="MS.SHUTDOWN.CANCEL")
class CancelShutdown(_Told):
    """Let a management server take jobs again that was to shut down."""

    def run(self, call: Call) -> dict[str, Any]:
        """Tell it."""
        return self._tell(call, (PREPARING_SHUTDOWN, READY, SHUTTING_DOWN), None)


@command("readyForShutdown", reads=True)
class ReadyForShutdown(_Told):
    """Tell whether a management server has finished its jobs."""

    def run(self, call: Call) -> dict[str, Any]:
        """Look."""
        return _view(call, self.managementserverid)


@command("prepareForMaintenance", event="MS.MAINTENANCE.PREPARE")
class PrepareForMaintenance(_Told):
    """Let a management server take no new jobs, and give its hosts to the others; there must be another one.

    ``algorithm``: how its agents are spread over the others (else by the setting).  Jobs that still run at the end of
    the setting management.server.maintenance.timeout end the wait if it is ``forced``, else the maintenance.
    """

    algorithm: str | None = None
    forced: bool = True

    def check(self) -> None:
        """Check the algorithm."""
        if self.algorithm is not None:
            self.algorithm = model.one_of("algorithm", self.algorithm, agent_servers.ALGORITHMS)

    def run(self, call: Call) -> dict[str, Any]:
        """Tell it."""
        facts, row = _find(call, "managementserverid", self.managementserverid)
        if not any(facts.state(other) == UP for other in facts.servers if other.uuid != row.uuid):
            raise InvalidParameter("parameter managementserverid: there is no other management server that is Up")
        window = 60 * call.services.settings.get(WINDOW)
        return self._tell(
            call,
            (UP,),
            PREPARING_MAINTENANCE,
            algorithm=self.algorithm,
            forced=self.forced,
            drained_by=database.now() + window,
        )


@command("cancelMaintenance", event="MS.MAINTENANCE.CANCEL", ignored=("rebalance",))
class CancelMaintenance(_Told):
    """Let a management server take jobs and hosts again."""

    def run(self, call: Call) -> dict[str, Any]:
        """Tell it."""
        return self._tell(call, (PREPARING_MAINTENANCE, MAINTENANCE), None)


@command("removeManagementServer", event="MANAGEMENT.SERVER.REMOVE", manage=())
class RemoveServer(Command):
    """Remove a management server that is down from the list."""

    id: str

    def run(self, call: Call) -> Success:
        """Refuse while it lives."""
        facts, row = _find(call, "id", self.id)
        if facts.state(row) != DOWN:
            raise InUse(f"the management server {row.name} is {facts.state(row)}; shut it down first")
        call.db.execute(sa.delete(server).where(server.c.uuid == row.uuid))
        call.describe(f"removed management server {row.name}")
        return Success()
