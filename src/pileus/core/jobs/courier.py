"""The courier: carries operations to hosts and commits their answers.

A thread of its own does the courier's transactions, many answers in each; deliveries are asyncio tasks of one loop.
So ten thousand operations in flight are ten thousand small tasks, and no threads.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import msgspec
import structlog
from cryptography.fernet import InvalidToken
from sqlalchemy import Connection

from pileus.core.database import now
from pileus.core.jobs import convergence, registry, sealing, signals, sql
from pileus.core.jobs.convergence import Applied, Pick
from pileus.core.jobs.delivery import Delivery
from pileus.core.jobs.errors import Outcome
from pileus.core.jobs.pool import Pool
from pileus.core.jobs.registry import Rendered
from pileus.core.jobs.runtime import Channel, Runtime, transient
from pileus.wire.operations import Answer, Failure, Operation

log = structlog.get_logger(__name__)

GATHER = 0.002  # seconds: how long the first answer waits for company
BATCH = 256
POLL = 1.0


class Courier:
    """The outbox of one server."""

    def __init__(self, runtime: Runtime, channel: Channel, *, per_host: int, loop: Any = None) -> None:
        self._runtime = runtime
        self._delivery = Delivery(channel, loop)
        self._per_host = self.limit = per_host
        self._lock = threading.Lock()
        self._in_flight: Counter[int] = Counter()
        self._backlog: set[int] = set()  # hosts for which operations wait for a place
        self._answers: deque[tuple[int, int, Answer]] = deque()  # outbox row, host, answer
        self._applied: deque[Applied] = deque()
        self._renders = Pool(2, "jobs-render")
        self._thread = threading.Thread(target=self._run, name="jobs-courier", daemon=True)
        self._polled = 0.0
        self._due: float | None = None
        self._closed = False

    # Called by jobs

    def reserve(self, host: int) -> bool:
        """Take a place among the operations in flight to a host, if there is one."""
        with self._lock:
            if self._closed or self._in_flight[host] >= self.limit or host in self._backlog:
                return False
            self._in_flight[host] += 1
            return True

    def release(self, host: int) -> None:
        """Give a place back."""
        with self._lock:
            self._in_flight[host] -= 1
            if self._in_flight[host] <= 0:
                del self._in_flight[host]
            waiting = host in self._backlog
        if waiting:
            self._wake()

    def launch(self, outbox: int, host: int, operation: Operation) -> None:
        """Deliver an operation whose place is reserved and whose row is committed."""

        def done(answer: Answer) -> None:
            self._answers.append((outbox, host, answer))
            self._wake()

        self._delivery.send(("outbox", outbox), host, operation, done)

    def queued(self, host: int) -> None:
        """Take note that operations for a host wait for a place."""
        with self._lock:
            self._backlog.add(host)
        self._wake()

    # Called by the engine

    @property
    def in_flight(self) -> int:
        """Return how many operations are in flight."""
        return self._in_flight.total()

    def start(self) -> None:
        """Start the threads."""
        self._delivery.start()
        self._thread.start()

    def share(self, servers: int) -> None:
        """Divide the places of each host by the servers that are alive."""
        self.limit = max(1, self._per_host // max(1, servers))

    def stop(self, deadline: float) -> None:
        """Take no more, commit the answers that are there, and drop what is in flight (other servers take it up)."""
        with self._lock:
            self._closed = True
        self._wake()
        self._thread.join(max(0.1, deadline - time.monotonic()))
        self._delivery.stop(max(0.1, deadline - time.monotonic()))
        self._renders.stop(0.2)

    # The thread

    def _wake(self) -> None:
        self._runtime.signals.courier.set()

    def _run(self) -> None:
        event = self._runtime.signals.courier
        while not self._closed:
            wait = POLL if self._due is None else min(POLL, max(0.0, self._due - now()))
            event.wait(wait)
            event.clear()
            if self._answers and self._in_flight.total() > len(self._answers):
                time.sleep(GATHER)
            try:
                self._round()
            except Exception as error:
                if transient(error):
                    log.warning("the database does not answer the courier; trying again", reason=str(error))
                else:
                    log.exception("a round of the courier failed; trying again")
                self._runtime.stopping.wait(0.2)
                event.set()
        self._last_round()

    def _last_round(self) -> None:
        try:
            while self._answers or self._applied:
                self._round()
        except Exception:
            log.exception("the last answers could not be recorded; the operations will be asked again")

    def _round(self) -> None:
        """Commit answers, take operations and pick objects: in one transaction."""
        answers = _some(self._answers)
        # In the order in which jobs lock what they wait for.
        applied = sorted(_some(self._applied), key=lambda done: (done.pick.kind, done.pick.object_id))
        poll = now() - self._polled >= POLL
        if poll:
            self._look()
        look = self._wished() or poll or bool(applied)
        taken: list[Any] = []
        picks: list[Pick] = []

        def work(db: Connection) -> None:
            self._untake(taken)
            picks.clear()
            woken = [job for job in (self._record(db, *entry) for entry in answers) if job is not None]
            for done in applied:
                woken += convergence.record(db, self._runtime.owner, done)
            for _ in range(min(len(woken), 4)):
                signals.ready(db)
            if not self._closed:
                self._take(db, [host for _, host, _ in answers], taken)
                if look:
                    picks.extend(convergence.pick(db, self._runtime.owner, 64))
                    self._due = convergence.next_due(db)
            self._runtime.reach("courier/answers/before-commit")

        try:
            self._runtime.transact(work)
        except BaseException:
            self._answers.extendleft(reversed(answers))
            self._applied.extendleft(reversed(applied))
            self._untake(taken)
            self._runtime.signals.wishes = True
            raise
        self._runtime.reach("courier/answers/after-commit")
        for _, host, _ in answers:
            self.release(host)
        for row in taken:
            self._launch_taken(row)
        for pick in picks:
            self._renders.submit(self._rendering(pick))
        if len(picks) == 64:
            self._runtime.signals.wish()
        elif self._answers or self._applied:
            self._wake()

    def _wished(self) -> bool:
        """Tell whether an object may want to be converged, by what was said since the last look or by its time."""
        due = self._due is not None and self._due <= now()
        if not self._runtime.signals.wishes:
            return due
        self._runtime.signals.wishes = False
        return True

    def _launch_taken(self, row: Any) -> None:
        """Deliver an operation that has waited in the outbox."""
        try:
            operation = _operation(row, sealing.unseal(self._runtime.services, row.arguments))
        except InvalidToken:
            log.exception("an operation was encrypted with another key: it is not delivered", operation=row.operation)
            text = "The operation cannot be read: servers of one cloud must share secrets.key"
            failure = Failure(code="internal", message=text, retryable=False)
            self._answers.append((row.id, row.host, Answer(id=row.operation, state="failed", failure=failure)))
            self._wake()
        else:
            self.launch(row.id, row.host, operation)

    def _record(self, db: Connection, outbox: int, host: int, answer: Answer) -> int | None:
        """Record an answer as its job's step; a second or late one has no effect."""
        row = sql.answered(db, id=outbox).one_or_none()
        if row is None:
            return None
        error = None
        if answer.state != "done":
            text = f"The host did not do it: {answer.state}"
            failure = answer.failure or Failure(code=answer.state, message=text, retryable=answer.state != "refused")
            error = Outcome(sort="operation", text=failure.message, failure=failure, host=row.host, kind=row.kind)
        sql.insert_step.post(
            db,
            job=row.job_id,
            name=row.step,
            position=row.position,
            output=msgspec.json.encode(answer.result).decode(),
            error=None if error is None else msgspec.json.encode(error).decode(),
            undo=row.undo,
            now=now(),
        )
        sql.wake_one.post(db, job=row.job_id)
        return row.job_id

    def _take(self, db: Connection, freed: list[int], taken: list[Any]) -> None:
        """Take queued operations for hosts that have places."""
        if not self._backlog:
            return
        leaving = Counter(freed)
        for host in list(self._backlog):
            with self._lock:
                free = min(self.limit - self._in_flight[host] + leaving[host], BATCH)
            if free <= 0:
                continue
            rows = sql.take_operations(db, owner=self._runtime.owner, host=host, count=free).all()
            with self._lock:
                if len(rows) < free:
                    self._backlog.discard(host)
                self._in_flight[host] += len(rows)
            taken.extend(rows)

    def _untake(self, taken: list[Any]) -> None:
        """Give back what a transaction took that was rolled back."""
        for row in taken:
            self.queued(row.host)
            self.release(row.host)
        taken.clear()

    def _look(self) -> None:
        """Find what wake-ups have not told: queued operations of other servers, operations to give up."""
        self._polled = now()
        with self._runtime.database.read() as db:
            hosts = [row[0] for row in sql.backlog(db)]
            given_up = sql.to_abort(db, owner=self._runtime.owner).all()
        with self._lock:
            self._backlog.update(hosts)
        for outbox, identity, host in given_up:
            self._abort(outbox, identity, host)

    def _abort(self, outbox: int, identity: str, host: int) -> None:
        """Give up an operation of a job that has turned back (its answer has no effect any more)."""
        self._delivery.abort(("outbox", outbox), host, identity)
        self._runtime.transact(lambda db: sql.aborted(db, id=outbox))

    # Convergence

    def _rendering(self, pick: Pick) -> Callable[[], None]:
        return lambda: self._render(pick)

    def _render(self, pick: Pick) -> None:
        """Render an object's newest state and send it to its host."""
        generation = pick.generation
        try:
            with self._runtime.database.read() as db:
                generation = convergence.desired(db, pick.kind, pick.object_id)  # first: the state is as new or newer
                rendered = registry.convergers[pick.kind].render(db, pick.object_id)
        except Exception:
            log.exception("a desired state could not be rendered", kind=pick.kind, object=pick.object_id)
            failure = Failure(
                code="internal", message="The desired state could not be rendered; see the log", retryable=True
            )
            self._close_pick(Applied(pick, generation, Answer(id="", state="failed", failure=failure)))
            return
        if rendered is None or rendered.host is None:
            self._close_pick(Applied(pick, generation, None))
            return
        self._apply(pick, generation, rendered, rendered.host)

    def _apply(self, pick: Pick, generation: int, rendered: Rendered, host: int) -> None:
        identity = f"{rendered.object}/{generation}" + (f"/{pick.attempt}" if pick.attempt else "")
        operation = Operation(
            id=identity,
            kind=rendered.kind,
            object=rendered.object,
            fence=generation,
            deadline=now() + rendered.timeout,
            arguments=rendered.arguments,
        )

        def done(answer: Answer) -> None:
            self._close_pick(Applied(pick, generation, answer, host, rendered.kind))

        self._delivery.send((pick.kind, pick.object_id), host, operation, done)

    def _close_pick(self, done: Applied) -> None:
        self._applied.append(done)
        self._wake()


def _some(waiting: deque[Any]) -> list[Any]:
    return [waiting.popleft() for _ in range(min(len(waiting), BATCH))]


def _operation(row: Any, arguments: dict[str, Any]) -> Operation:
    return Operation(
        id=row.operation,
        kind=row.kind,
        object=row.object,
        fence=row.fence,
        deadline=row.deadline,
        arguments=arguments,
        request=row.request,
    )
