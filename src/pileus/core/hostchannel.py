"""The channel of the job engine: by a host's number to its agent, or to the simulator in this process."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import sqlalchemy as sa

from pileus.core import certificates, entities
from pileus.core.database import Database
from pileus.wire.operations import Answer, Failure, Operation

if TYPE_CHECKING:
    from pileus.core.channel import Address, AgentChannel

SIMULATOR = "Simulator"
"""The hypervisor type of simulated hosts."""

REMEMBERED = 5.0
"""Seconds for which an agent's address is remembered."""

_MOST = 50_000


class NumberedChannel(Protocol):
    """A channel to hosts by their internal ids (the simulator's)."""

    async def deliver(self, host: int, operation: Operation) -> Answer:
        """Bring an operation to its host and return its final answer."""
        ...

    async def abort(self, host: int, operation_id: str) -> None:
        """Give an operation up."""
        ...


@dataclass(frozen=True)
class _Place:
    until: float
    address: Address | None  # None: simulated
    revoked: bool = False  # its certificate


class HostChannel:
    """Delivers each operation by the road that its host's hypervisor type has."""

    def __init__(
        self, database: Database, *, agents: AgentChannel | None = None, simulator: NumberedChannel | None = None
    ) -> None:
        self._database = database
        self._agents = agents
        self._simulator = simulator
        self._places: dict[int, _Place] = {}

    async def deliver(self, host: int, operation: Operation) -> Answer:
        """Bring an operation to its host and return its final answer."""
        place = await self._place(host)
        if place is None:
            return _no_road(operation, "the host was deleted")
        if place.address is None:
            if self._simulator is None:
                return _no_road(operation, "simulated hosts do not run in this server; start it with --simulator")
            return await self._simulator.deliver(host, operation)
        if place.revoked:
            return _no_road(operation, "the host's certificate was revoked; enrol it with a new token")
        if self._agents is None:
            return _no_road(operation, "this server has no channel to agents; it was started with --simulator")
        return await self._agents.deliver(place.address, operation)

    async def abort(self, host: int, operation_id: str) -> None:
        """Tell the host, best effort, that nobody waits for the operation any more."""
        place = await self._place(host)
        if place is None:
            return
        if place.address is None:
            if self._simulator is not None:
                await self._simulator.abort(host, operation_id)
        elif self._agents is not None:
            await self._agents.abort(place.address, operation_id)

    async def _place(self, host: int) -> _Place | None:
        known = self._places.get(host)
        if known is not None and known.until > time.monotonic():
            return known
        if len(self._places) >= _MOST:
            self._places.clear()
        found = await asyncio.get_running_loop().run_in_executor(None, self._look_up, host)
        if found is not None:
            self._places[host] = found
        return found

    def _look_up(self, host: int) -> _Place | None:
        entity = entities.known("Host")
        if entity is None:
            raise LookupError("no slice registers hosts")
        columns = entity.table.c
        statement = sa.select(columns.uuid, columns.hypervisor, columns.address, columns.port)
        with self._database.read() as db:
            row = db.execute(statement.where(columns.id == host, columns.removed.is_(None))).one_or_none()
            real = row is not None and row.hypervisor != SIMULATOR
            revoked = row is not None and real and certificates.newest_revoked(db, f"host:{row.uuid}")
        if row is None:
            return None
        if row.hypervisor == SIMULATOR:
            return _Place(float("inf"), None)
        from pileus.core.channel import Address

        name = f"[{row.address}]" if ":" in row.address else row.address
        return _Place(time.monotonic() + REMEMBERED, Address(row.uuid, f"https://{name}:{row.port}"), revoked)


def _no_road(operation: Operation, message: str) -> Answer:
    failure = Failure(code="unreachable", message=message, retryable=True)
    return Answer(id=operation.id, state="failed", failure=failure)
