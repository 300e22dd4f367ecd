"""The road to simulated hosts: operations are gathered for a moment and done in one transaction, as many as came.

Same semantics as an agent's journal: a repeat joins the running one or is given the same answer, an operation with an
older fence than the newest seen for its object is refused.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import msgspec
import structlog

from pileus.core.database import Database
from pileus.core.jobs.prepared import Prepared, in_list
from pileus.drivers.simulator.config import SimulatorConfig
from pileus.wire.operations import Answer, Failure, Operation

log = structlog.get_logger(__name__)

GATHER_SECONDS = 0.001
BATCH = 256
RETENTION_SECONDS = 86_400.0
_PRUNE_EVERY = 2_000  # batches

_known = in_list("SELECT id, answer FROM sim_operation WHERE id IN_LIST(:ids)IN_END")
_journal = Prepared("INSERT INTO sim_operation (id, host, answer, at) VALUES (:id, :host, :answer, :at)")
_prune = Prepared("DELETE FROM sim_operation WHERE at < :before")
_one_at_a_time = Prepared("SELECT 1", postgresql="SELECT pg_advisory_xact_lock(20713)")
_decode = msgspec.json.Decoder(Answer).decode


class Request(msgspec.Struct, frozen=True):
    """An operation on its way to a host, and how the host was told to fail at it."""

    host: int
    operation: Operation
    failure: Failure | None


class SimulatorChannel:
    """Delivers operations to simulated hosts of any number."""

    def __init__(self, database: Database, *, latency: float = 0.0, config: SimulatorConfig | None = None) -> None:
        self.config = config or SimulatorConfig(latency=latency)
        self._database = database
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="simulator")
        self._waiting: list[tuple[Request, asyncio.Future[Answer]]] = []
        self._running: dict[str, asyncio.Task[Answer]] = {}
        self._flusher: asyncio.Task[None] | None = None
        self._batches = 0

    async def deliver(self, host: int, operation: Operation) -> Answer:
        """Bring an operation to its host and return its final answer, at the latest at its deadline."""
        if operation.id in self._running:
            return await asyncio.shield(self._running[operation.id])
        faults = self.config.taken(host, operation.kind)
        if not faults and not self.config.latency:
            return await self._enqueue(Request(host, operation, None))
        task = asyncio.create_task(self._deliver_badly(host, operation))
        task.faults = faults  # type: ignore[attr-defined]
        self._running[operation.id] = task
        return await task

    async def abort(self, host: int, operation_id: str) -> None:
        """Give an operation up that has not begun yet."""
        del host
        task = self._running.pop(operation_id, None)
        if task is not None:
            task.cancel()

    def close(self) -> None:
        """End the thread; hosts keep what they hold."""
        self._thread.shutdown(wait=True)
