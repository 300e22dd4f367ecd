"""The job as its workflow sees it: named steps, each of which happens once whatever dies meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import msgspec
import structlog
from sqlalchemy import Connection

from pileus.core.database import after_commit, now
from pileus.core.jobs import convergence, ending, ledger, sealing, sql
from pileus.core.jobs import submission as submissions
from pileus.core.jobs.errors import (
    CancelledByUser,
    DeadlinePassed,
    Detached,
    LeaseLost,
    NotDeterministic,
    Outcome,
    Parked,
)
from pileus.core.jobs.ledger import UNDO, Ledger
from pileus.core.jobs.runtime import Claimed, Runtime
from pileus.core.jobs.sql import Step
from pileus.wire.operations import Answer, Operation

log = structlog.get_logger(__name__)
T = TypeVar("T")


class HostCall(msgspec.Struct, frozen=True):
    """One of several operations of ``Job.calls``."""

    host: int
    kind: str
    object: str
    arguments: dict[str, Any]


class Undoing(msgspec.Struct, frozen=True, kw_only=True):
    """The step that an undo is about; the last four only when it was a call."""

    name: str
    output: Any
    failure: Outcome | None = None  # set when nobody knows whether the host did it
    host: int | None = None
    kind: str = ""
    object: str = ""
    arguments: dict[str, Any] = {}


class Job:
    """A run of a workflow.

    Everything between two steps may happen several times, so it must depend on nothing but the arguments and the
    outputs of earlier steps: no clock, no chance, no reading of changing rows outside a step.
    """

    def __init__(self, runtime: Runtime, claimed: Claimed) -> None:
        record = claimed.record
        self.runtime = runtime
        self.record = record
        self.ledger = Ledger(record.workflow, claimed.steps)
        self.finished = False
        self.detached: tuple[str, Callable[[], Any]] | None = None
        self.undoing: Undoing | None = None
        self._errors = claimed.errors
        self._prefix = ""
        self._last_progress = 0.0
        self.id = record.id
        self.fence = record.id  # jobs on one key run in the order of their ids
        self.uuid = record.uuid
        self.account_id = record.account_id
        self.user_id = record.user_id
        self.domain_id = record.domain_id
        self.role = record.role
        self.admin = bool(record.admin)
        self.request = record.request
        self.arguments: dict[str, Any] = record.arguments
        self.services = runtime.services

    # Steps

    def commit(self, name: str, fn: Callable[[Connection], T], undo: str | None = None) -> T:
        """Run ``fn`` exactly once: its writes and its output (JSON-able) are recorded in one transaction."""
        name = self._prefix + name
        step = self.ledger.meet(name)
        if step is not None:
            return ledger.decode(step.output)
        self._boundary()

        def work(db: Connection) -> tuple[T, str]:
            value = fn(db)
            output = ledger.encode(value)
            self._record(db, name, output=output, undo=undo)
            self._reach(name, "before-commit")
            return value, output

        value, output = self.runtime.transact(work)
        self.ledger.add(Step(name, self._position, output, None, undo))
        self._reach(name, "after-commit")
        return ledger.as_replayed(value, output)

    def finish(self, name: str, fn: Callable[[Connection], dict[str, Any] | None]) -> None:
        """Run the last commit: its writes, the job's result and its end in one transaction."""
        name = self._prefix + name
        self.ledger.meet(name)
        if self.undoing is not None:
            raise NotDeterministic("an undo cannot finish its job")
        self._boundary()

        def work(db: Connection) -> None:
            ending.complete(self, db, fn(db))
            self._reach(name, "before-commit")

        self.runtime.transact(work)
        self.finished = True
        self._reach(name, "after-commit")

    def call(  # noqa: PLR0917 (the order is that of a sentence)
        self,
        name: str,
        host: int,
        kind: str,
        object: str,  # noqa: A002 (the wire's word)
        arguments: dict[str, Any],
        undo: str | None = None,
        timeout: float = 600,
    ) -> dict[str, Any]:
        """Ask a host to do something and return its result; raises OperationFailed when it failed."""
        step = self._operate([self._prefix + name], [HostCall(host, kind, object, arguments)], undo, timeout)[0]
        if step.error is not None:
            raise ledger.outcome(step.error).exception()
        return ledger.decode(step.output)

    def calls(
        self, name: str, calls: Sequence[HostCall], *, undo: str | None = None, timeout: float = 600
    ) -> list[Answer]:
        """Ask several hosts at once; return their answers in order, failures among them."""
        if not calls:
            return []
        names = [f"{self._prefix}{name}/{number}" for number in range(len(calls))]
        answers: list[Answer] = []
        for step in self._operate(names, calls, undo, timeout):
            identity = f"{self.uuid}/{step.name}"
            if step.error is None:
                answers.append(Answer(id=identity, state="done", result=ledger.decode(step.output)))
            else:
                answers.append(Answer(id=identity, state="failed", failure=ledger.outcome(step.error).failure))
        return answers

    def local(self, name: str, fn: Callable[[], T]) -> T:
        """Run slow idempotent work outside any transaction, at least once, in a small pool of its own.

        Its exception is raised here; ``progress`` may be called meanwhile.
        """
        name = self._prefix + name
        step = self.ledger.meet(name)
        if step is not None:
            return ledger.decode(step.output)
        error = self._errors.pop(name, None)
        if error is not None:
            raise error
        self._boundary()
        self.detached = (name, fn)
        raise Detached

    def progress(self, fraction: float, text: str = "") -> None:
        """Show how far slow work has come (0..1), once a second at most; raises when the job is to end."""
        moment = now()
        if moment - self._last_progress < 1 and fraction < 1:
            return
        self._last_progress = moment

        def work(db: Connection) -> Any:
            return sql.progress(db, fraction=fraction, text=text, **self._identity()).one_or_none()

        row = self.runtime.transact(work)
        if row is None:
            raise LeaseLost
        if self.record.phase == "run":
            self.record.cancel_requested = row[0]
            self._boundary()

    def sleep(self, name: str, seconds: float) -> None:
        """Wait, holding nothing meanwhile."""
        name = self._prefix + name
        step = self.ledger.meet(name)
        if step is None:
            self._boundary()
            until = now() + seconds

            def work(db: Connection) -> None:
                self._record(db, name, output=ledger.encode(until))
                self.park(db, pending=0, wake=until)
                self._reach(name, "before-commit")

            self.runtime.transact(work)
            self._reach(name, "after-commit")
            raise Parked
        until = ledger.decode(step.output)
        if now() < until:
            self.runtime.transact(lambda db: self.park(db, pending=0, wake=until))
            raise Parked

    def child(
        self,
        name: str,
        workflow_fn: Callable[..., Any],
        *,
        key: str | None,
        arguments: dict[str, Any],
        undo: str | None = None,
        deadline_seconds: float | None = None,
        instance_type: str | None = None,
        instance_uuid: str | None = None,
    ) -> dict[str, Any] | None:
        """Run another workflow as a job of its own and return its result; raises JobFailed when it failed."""
        name = self._prefix + name
        step = self.ledger.meet(name)
        if step is not None:
            if step.error is not None:
                raise ledger.outcome(step.error).exception()
            return ledger.decode(step.output)
        if key is not None and key == self.record.key:
            raise NotDeterministic(f"a child with its parent's key {key} would wait for ever")
        self._boundary()
        position = self.ledger.next_position()
        remaining = max(1.0, self.record.deadline - now()) if self.undoing is None else 3600

        def work(db: Connection) -> None:
            self.park(db, pending=1)
            submissions.submit(
                db,
                workflow_fn,
                key=key,
                arguments=arguments,
                user_id=self.user_id,
                account_id=self.account_id,
                domain_id=self.domain_id,
                role=self.role,
                admin=self.admin,
                instance_type=instance_type,
                instance_uuid=instance_uuid,
                deadline_seconds=remaining if deadline_seconds is None else deadline_seconds,
                request=self.request,
                parent=self.id,
                parent_step=(name, position, undo),
            )
            self._reach(name, "before-commit")

        self.runtime.transact(work)
        self._reach(name, "after-commit")
        raise Parked

    def retry(self, name: str, fn: Callable[[int, list[dict[str, Any]]], T], times: int, delay: float = 0) -> T:
        """Run ``fn(attempt, failures)`` until it succeeds, ``times`` at most; a failed attempt is undone first.

        Only errors that say they are retryable count (OperationFailed, Retry, JobFailed).  ``delay``: seconds before
        the second attempt, doubled for each one after.
        """
        from pileus.core.jobs import retrying

        return retrying.run(self, name, fn, times, delay)

    def converge(self, kind: str, object_id: int, timeout: float = 120) -> None:
        """Wait until what is desired of an object by now has been applied; OperationFailed when it cannot be."""
        self.converge_all([(kind, object_id)], timeout)

    def converge_all(self, objects: Sequence[tuple[str, int]], timeout: float = 120) -> None:
        """Wait until what is desired of several objects (kind, id) by now has been applied, at the same time.

        OperationFailed when it cannot be, with the first failure in the order given.
        """
        named = [
            (self._next_name(f"{self._prefix}converge/{kind}/{id_}"), kind, id_) for kind, id_ in dict.fromkeys(objects)
        ]
        steps = [(self.ledger.meet(name), name, kind, id_) for name, kind, id_ in named]
        for step, *_ in steps:
            if step is not None and step.error is not None:
                raise ledger.outcome(step.error).exception()
        new = [(name, kind, id_) for step, name, kind, id_ in steps if step is None]
        if not new:
            return
        self._boundary()
        positions = [self.ledger.next_position() for _ in new]
        until = now() + timeout

        def work(db: Connection) -> bool:
            wishes = convergence.outstanding(db, [(kind, id_) for _, kind, id_ in new])
            waiters: list[tuple[str, int, convergence.Waiter]] = []
            for (name, kind, id_), position in zip(new, positions, strict=True):
                wish = wishes.get((kind, id_))
                if wish is None:
                    self._record(db, name, output="null", position=position)
                else:
                    waiters.append((kind, id_, convergence.Waiter(self.id, name, position, wish, until)))
            if waiters:
                self.park(db, pending=len(waiters))
            for kind, id_, waiter in waiters:
                convergence.wait(db, kind, id_, waiter)
            self._reach(new[0][0], "before-commit")
            return bool(waiters)

        parked = self.runtime.transact(work)
        self._reach(new[0][0], "after-commit")
        if parked:
            raise Parked
        for (name, *_), position in zip(new, positions, strict=True):
            self.ledger.add(Step(name, position, "null", None, None))

    def _next_name(self, base: str) -> str:
        """Return the name of a step that a workflow may come to several times: the second is base#2."""
        name, count = base, 1
        while self.ledger.met(name):
            count += 1
            name = f"{base}#{count}"
        return name

    # For the engine's own modules

    @property
    def prefix(self) -> str:
        """Return what stands before the names of steps at the moment."""
        return self._prefix

    @prefix.setter
    def prefix(self, prefix: str) -> None:
        self._prefix = prefix

    def park(self, db: Connection, *, pending: int, wake: float | None = None) -> None:
        """Let the job wait for answers (pending) or a time; the deadline wakes it too while it goes forward."""
        if self.record.phase == "run":
            wake = self.record.deadline if wake is None else min(wake, self.record.deadline)
        if sql.park(db, pending=pending, wake=wake, **self._identity()).rowcount != 1:
            self.refused(db)

    def record_marker(self, db: Connection, name: str, output: str, undone: int) -> Step:
        """Record a step of the engine itself, such as the failure of an attempt."""
        self._record(db, name, output=output, undone=undone)
        return Step(name, self._position, output, None, None, undone)

    def hold(self, db: Connection) -> None:
        """Make sure, until the end of the transaction, that the job is ours."""
        if sql.hold(db, lease=now() + self.runtime.lease, **self._identity()).rowcount != 1:
            self.refused(db)

    def refused(self, db: Connection) -> NoReturn:
        """Say why a guarded statement found no row."""
        row = sql.hold_state(db, job=self.id).one_or_none()
        if row is not None and tuple(row[:3]) == (self.runtime.owner, self.record.attempt, "running") and row[3]:
            self.record.cancel_requested = 1
            raise CancelledByUser
        raise LeaseLost

    def check(self) -> None:
        """Raise when the job is cancelled or late (while it goes forward)."""
        if self.record.phase != "run":
            return
        if self.record.cancel_requested:
            raise CancelledByUser
        if now() > self.record.deadline:
            raise DeadlinePassed("The job has taken longer than it may and was ended")

    def _boundary(self) -> None:
        if self.finished:
            raise NotDeterministic(f"workflow {self.record.workflow} goes on after finish")
        if self.undoing is None:
            self.check()
            if self._prefix.startswith(UNDO):
                raise NotDeterministic(f"step names must not begin with {UNDO}")

    def _identity(self) -> dict[str, Any]:
        return {"job": self.id, "owner": self.runtime.owner, "attempt": self.record.attempt}

    def identity(self) -> dict[str, Any]:
        """Return the parameters of every guarded statement."""
        return self._identity()

    def _record(
        self,
        db: Connection,
        name: str,
        *,
        output: str,
        undo: str | None = None,
        undone: int = 0,
        position: int | None = None,
    ) -> None:
        self._position = self.ledger.next_position() if position is None else position
        found = sql.record_step(
            db,
            name=name,
            position=self._position,
            output=output,
            error=None,
            undo=undo,
            undone=undone,
            now=now(),
            **self._identity(),
        )
        if found.rowcount != 1:
            self.refused(db)

    def _reach(self, name: str, point: str) -> None:
        if self.runtime.probe is not None:
            self.runtime.probe(f"{self.record.workflow}/{name}/{point}")

    def record_local(self, name: str, value: Any) -> None:
        """Record the output of local work."""

        def work(db: Connection) -> None:
            self._record(db, name, output=ledger.encode(value))
            self._reach(name, "before-commit")

        self.runtime.transact(work)
        self.ledger.add(Step(name, self._position, ledger.encode(value), None, None))
        self._reach(name, "after-commit")

    def _operate(self, names: list[str], calls: Sequence[HostCall], undo: str | None, timeout: float) -> list[Step]:
        """Return the recorded answers, or write the operations and park."""
        steps = [step for step in [self.ledger.meet(name) for name in names] if step is not None]
        if len(steps) == len(names):
            return steps
        self._boundary()
        deadline = now() + timeout
        if self.record.phase == "run":
            deadline = min(deadline, self.record.deadline)
        courier = self.runtime.courier
        reserved = [courier.reserve(call.host) for call in calls]
        positions = [self.ledger.next_position() for _ in calls]

        def work(db: Connection) -> None:
            self.park(db, pending=len(calls))
            for name, call, position, sent in zip(names, calls, positions, reserved, strict=True):
                self._post(db, name, call, undo=undo, position=position, deadline=deadline, sent=sent)
            self._reach(names[0], "before-commit")

        try:
            self.runtime.transact(work)
        except BaseException:
            for call, sent in zip(calls, reserved, strict=True):
                if sent:
                    courier.release(call.host)
            raise
        self._reach(names[0], "after-commit")
        raise Parked

    def _post(
        self,
        db: Connection,
        name: str,
        call: HostCall,
        *,
        undo: str | None,
        position: int,
        deadline: float,
        sent: bool,
    ) -> None:
        """Write one operation into the outbox; this server delivers it at once when it has a place in flight."""
        operation = Operation(
            id=f"{self.uuid}/{name}",
            kind=call.kind,
            object=call.object,
            fence=self.fence,
            deadline=deadline,
            arguments=call.arguments,
            request=self.request,
        )
        outbox: int = sql.insert_operation(
            db,
            operation=operation.id,
            job=self.id,
            step=name,
            position=position,
            undo=undo,
            host=call.host,
            kind=call.kind,
            object=call.object,
            fence=self.fence,
            arguments=sealing.seal(self.services, call.kind, call.arguments),
            request=self.request,
            deadline=deadline,
            state="sent" if sent else "queued",
            owner=self.runtime.owner if sent else None,
        ).scalar_one()
        courier = self.runtime.courier
        if sent:
            after_commit(db, lambda: courier.launch(outbox, call.host, operation))
        else:
            after_commit(db, lambda: courier.queued(call.host))
