"""The road to simulated hosts: operations are gathered for a moment and done in one transaction, as many as came.

Same semantics as an agent's journal: a repeat joins the running one or is given the same answer, an operation with an
older fence than the newest seen for its object is refused.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import msgspec
import structlog
from sqlalchemy import Connection

from pileus.core.database import Database, now
from pileus.core.jobs.prepared import Prepared, id_list, in_list
from pileus.drivers.simulator import operations, world
from pileus.drivers.simulator.config import Fault, SimulatorConfig
from pileus.drivers.simulator.mocks import Mocks
from pileus.wire.operations import Answer, Failure, Operation

log = structlog.get_logger(__name__)

GATHER_SECONDS = 0.001
BATCH = 256
RETENTION_SECONDS = 86_400.0
_PRUNE_EVERY = 2_000  # batches
_LATE = "the host did not answer in time"

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
        self._mocks = Mocks(database, self._thread)
        self._waiting: list[tuple[Request, asyncio.Future[Answer]]] = []
        self._slow: dict[str, asyncio.Task[Answer]] = {}  # by operation, while a fault or latency holds it up
        self._flusher: asyncio.Task[None] | None = None
        self._batches = 0

    async def deliver(self, host: int, operation: Operation) -> Answer:
        """Bring an operation to its host and return its final answer, at the latest at its deadline."""
        joined = self._slow.get(operation.id)
        if joined is not None:
            return await self._outcome(operation, joined)
        faults = self.config.taken(host, operation.kind) + await self._mocks.taken(host, operation.kind)
        joined = self._slow.get(operation.id)
        if joined is not None:  # it came again meanwhile
            return await self._outcome(operation, joined)
        if not faults and not self.config.latency:
            return await self._enqueue(Request(host, operation, None))
        task = asyncio.create_task(self._deliver_badly(host, operation, faults))
        self._slow[operation.id] = task
        task.add_done_callback(lambda _task: self._slow.pop(operation.id, None))
        return await self._outcome(operation, task)

    async def abort(self, host: int, operation_id: str) -> None:
        """Give an operation up that has not begun yet."""
        del host
        task = self._slow.get(operation_id)
        if task is not None:
            task.cancel()

    def close(self) -> None:
        """End the thread; hosts keep what they hold."""
        self._thread.shutdown(wait=True)

    async def _outcome(self, operation: Operation, task: asyncio.Task[Answer]) -> Answer:
        """Wait for a slow operation that others may wait for too."""
        await asyncio.wait([task])
        if task.cancelled():
            return _failed(operation, Failure(code="aborted", message="management gave the operation up"), "aborted")
        return task.result()

    async def _deliver_badly(self, host: int, operation: Operation, faults: list[Fault]) -> Answer:
        """Deliver an operation that befalls what the configuration says."""
        await asyncio.sleep(self.config.latency + sum(fault.latency for fault in faults))
        failure = next((fault.failure for fault in faults if fault.failure is not None), None)
        losses = {fault.loss for fault in faults}
        answer = None
        if "request" not in losses:
            answer = await self._enqueue(Request(host, operation, failure))
        if answer is None or "answer" in losses:
            await asyncio.sleep(max(0.0, operation.deadline - now()))
            return _failed(operation, Failure(code="timeout", message=_LATE, retryable=True))
        return answer

    async def _enqueue(self, request: Request) -> Answer:
        """Put the operation into the next batch and return its answer."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((request, future))
        if self._flusher is None or self._flusher.done():
            self._flusher = loop.create_task(self._flush())
        return await future

    async def _flush(self) -> None:
        """Run batches until nobody waits."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(GATHER_SECONDS)
        while self._waiting:
            taken, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            try:
                answers = await loop.run_in_executor(self._thread, self._run, [request for request, _ in taken])
            except Exception as error:  # whatever it was, those who wait must hear of it
                log.exception("the simulator failed at a batch of operations", operations=len(taken))
                for _, future in taken:
                    if not future.done():
                        future.set_exception(RuntimeError(f"the simulator failed: {error}"))
                continue
            for (_, future), answer in zip(taken, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    def _run(self, batch: list[Request]) -> list[Answer]:
        """Do a batch of operations in one transaction (in the simulator's thread)."""
        self._batches += 1
        with self._database.write() as db:
            _one_at_a_time(db)
            answers = run(db, batch)
            if self._batches % _PRUNE_EVERY == 0:
                _prune(db, before=now() - RETENTION_SECONDS)
        return answers


def run(db: Connection, batch: list[Request]) -> list[Answer]:
    """Do operations one after another; answers in their order."""
    rows: Any = _known(db, ids=id_list(db, [r.operation.id for r in batch]))
    answers: dict[str, Answer] = {row[0]: _decode(row[1]) for row in rows}
    fresh: dict[str, Request] = {r.operation.id: r for r in batch if r.operation.id not in answers}
    converted = {id_: _convert(request) for id_, request in fresh.items()}
    keys: list[str] = []
    for id_, request in fresh.items():
        keys.append(world.fence(request.host, request.operation.object))
        arguments = converted[id_]
        if not isinstance(arguments, Failure):
            keys.extend(operations.kinds[request.operation.kind].keys(request.host, arguments))
    state = world.World(db, keys)
    moment = now()
    for id_, request in fresh.items():
        answers[id_] = _answer(state, request, converted[id_], moment)
    state.save()
    _journal.many(
        db,
        [
            {"id": id_, "host": r.host, "answer": msgspec.json.encode(answers[id_]).decode(), "at": moment}
            for id_, r in fresh.items()
            if answers[id_].state != "refused"
        ],
    )
    return [answers[request.operation.id] for request in batch]


def _convert(request: Request) -> Any:
    """Return the operation's typed arguments, or why there are none."""
    kind = operations.kinds.get(request.operation.kind)
    if kind is None:
        text = f"simulated hosts do not know the operation {request.operation.kind}"
        return Failure(code="unknown-operation", message=text)
    try:
        return msgspec.convert(request.operation.arguments, kind.arguments)
    except msgspec.ValidationError as error:
        return Failure(code="invalid-arguments", message=str(error))


def _answer(state: world.World, request: Request, arguments: Any, moment: float) -> Answer:
    operation = request.operation
    key = world.fence(request.host, operation.object)
    newest = state.get(key) or 0
    if newest > operation.fence:
        text = f"fence {operation.fence} of {operation.object} is older than {newest}, which came before"
        return _failed(operation, Failure(code="stale-fence", message=text), "refused")
    state.put(key, request.host, operation.fence)
    if moment > operation.deadline:
        return _failed(operation, Failure(code="timeout", message=_LATE, retryable=True))
    if request.failure is not None:
        return _failed(operation, request.failure)
    if isinstance(arguments, Failure):
        return _failed(operation, arguments)
    try:
        result = operations.kinds[operation.kind].run(state, request.host, arguments)
    except operations.SimulatedError as error:
        failure = Failure(code=error.code, message=error.message, detail=error.detail, retryable=error.retryable)
        return _failed(operation, failure)
    return Answer(id=operation.id, state="done", result=msgspec.to_builtins(result) if result is not None else {})


def _failed(
    operation: Operation, failure: Failure, state: Literal["failed", "refused", "aborted"] = "failed"
) -> Answer:
    return Answer(id=operation.id, state=state, failure=failure)
