"""Runs operations on a bounded pool of threads: one at a time for an object, in time, each answered once."""

from __future__ import annotations

import collections
import concurrent.futures
import heapq
import threading
import time

import msgspec
import structlog

from pileus.agent import registry
from pileus.agent.context import AgentContext
from pileus.agent.journal import Journal
from pileus.wire.operations import Answer, Failure, Operation, State

log = structlog.get_logger(__name__)

Final = concurrent.futures.Future[Answer]


class AbortedError(Exception):
    """Raised by an operation's progress call once it was aborted or its deadline is over."""


class Progress:
    """What an operation calls with the fraction done; it ends an operation that nobody waits for any more."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.fraction: float | None = None
        self.stopped = threading.Event()

    def __call__(self, fraction: float) -> None:
        """Record the fraction done (0..1); raises AbortedError when the operation should end."""
        self.fraction = fraction
        if self.stopped.is_set() or time.time() > self.deadline:
            raise AbortedError


class _Run:
    """An operation between acceptance and the return of its function."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.progress = Progress(operation.deadline)
        self.final: Final = concurrent.futures.Future()


class Runner:
    """Accepts, runs and answers operations; the HTTP server is a thin cover over it."""

    def __init__(self, context: AgentContext, journal: Journal, threads: int = 8) -> None:
        self._context = context
        self._journal = journal
        self._pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="operation")
        self._lock = threading.Condition()
        self._runs: dict[str, _Run] = {}
        self._queues: dict[str, collections.deque[_Run]] = {}  # object -> its runs; the first one is at work
        self._deadlines: list[tuple[float, str]] = []
        self._closed = False
        self._watch = threading.Thread(target=self._watch_deadlines, name="deadlines", daemon=True)
        self._watch.start()

    def submit(self, operation: Operation) -> Answer | Final:
        """Take an operation in; returns its answer when that is known, else a future of the final one."""
        with self._lock:
            if self._closed:
                raise RuntimeError("the agent is stopping")
            accepted = self._journal.accept(operation)
            known = self._runs.get(operation.id)
            if known is not None:
                return known.final
            if accepted.answer is not None:
                return accepted.answer
            return self._enqueue(operation)

    def find(self, identifier: str) -> Answer | Final | None:
        """Return an operation's answer, or the future of it; None when it was never accepted here."""
        with self._lock:
            run = self._runs.get(identifier)
        return run.final if run is not None else self._journal.answer(identifier)

    def progress(self, identifier: str) -> float | None:
        """Return the fraction done of a running operation, where it tells one."""
        run = self._runs.get(identifier)
        return run.progress.fraction if run is not None else None

    def abort(self, identifier: str) -> Answer | None:
        """Give an operation up: one that waits never runs, one that runs ends at its next progress call."""
        with self._lock:
            run = self._runs.get(identifier)
        if run is None:
            return self._journal.answer(identifier)
        failure = Failure(code="aborted", message="management gave the operation up")
        self._answer(run, "aborted", failure=failure)
        run.progress.stopped.set()  # after the answer: the function that it ends has one of its own
        return self._journal.answer(identifier)

    def recover(self) -> int:
        """Run again what a crash of the agent interrupted; returns how many operations that are."""
        interrupted = self._journal.unfinished()
        for operation in interrupted:
            kind = registry.find(operation.kind)
            with self._lock:
                if kind is not None and kind.resumable and not self._journal.superseded(operation):
                    self._enqueue(operation)
                    continue
            failure = Failure(code="lost", message="the agent restarted in the middle of the operation")
            self._journal.finish(Answer(id=operation.id, state="lost", failure=failure))
        if interrupted:
            log.info("operations that a restart interrupted were taken up", count=len(interrupted))
        return len(interrupted)

    def close(self, timeout: float = 20.0) -> None:
        """Stop taking work and wait for what runs; what does not end in time is resumed by the next agent."""
        with self._lock:
            self._closed = True
            self._lock.notify_all()
            finals = [run.final for run in self._runs.values()]
        concurrent.futures.wait(finals, timeout)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _enqueue(self, operation: Operation) -> Final:
        run = _Run(operation)
        self._runs[operation.id] = run
        heapq.heappush(self._deadlines, (operation.deadline, operation.id))
        self._lock.notify_all()
        queue = self._queues.setdefault(operation.object, collections.deque())
        queue.append(run)
        if len(queue) == 1:
            self._pool.submit(self._work, run)
        return run.final

    def _work(self, run: _Run) -> None:
        operation = run.operation
        started = time.monotonic()
        bound = log.bind(
            operation=operation.id, kind=operation.kind, object=operation.object, request=operation.request
        )
        try:
            if time.time() > operation.deadline:
                self._time_out(run)
            elif not run.final.done():
                self._execute(run, bound)
        finally:
            with self._lock:
                self._runs.pop(operation.id, None)
                queue = self._queues[operation.object]
                queue.popleft()
                if queue:
                    if not self._closed:
                        self._pool.submit(self._work, queue[0])
                else:
                    del self._queues[operation.object]
            final = run.final.result(0) if run.final.done() else None
            seconds = round(time.monotonic() - started, 3)
            if final and final.failure:
                why = {"code": final.failure.code, "reason": final.failure.message, "detail": final.failure.detail}
                bound.warning("operation failed", state=final.state, **why, seconds=seconds)
            else:
                bound.info("operation ended", state=final.state if final else "unknown", seconds=seconds)

    def _execute(self, run: _Run, bound: structlog.stdlib.BoundLogger) -> None:
        operation = run.operation
        kind = registry.find(operation.kind)
        if kind is None:
            message = f"this agent does not know the operation {operation.kind}; upgrade it"
            self._answer(run, "failed", failure=Failure(code="unknown-operation", message=message))
            return
        try:
            arguments = msgspec.convert(operation.arguments, kind.arguments)
        except msgspec.ValidationError as error:
            self._answer(run, "failed", failure=Failure(code="invalid-arguments", message=str(error)))
            return
        try:
            result = kind.handler(self._context, arguments, run.progress)
        except registry.OperationError as error:
            self._answer(run, "failed", failure=error.failure())
        except AbortedError:
            message = "the operation was stopped before it was done"
            self._answer(run, "aborted", failure=Failure(code="aborted", message=message))
        except Exception as error:
            bound.exception("operation failed unexpectedly: a fault of the agent, please report it")
            detail = f"{type(error).__name__}: {error}"
            failure = Failure(code="internal", message="the agent failed", detail=detail, retryable=True)
            self._answer(run, "failed", failure=failure)
        else:
            self._answer(run, "done", result=msgspec.to_builtins(result) if result is not None else {})

    def _answer(
        self,
        run: _Run,
        state: State,
        *,
        result: dict[str, object] | None = None,
        failure: Failure | None = None,
    ) -> None:
        answer = Answer(id=run.operation.id, state=state, result=result or {}, failure=failure)
        if self._journal.finish(answer):
            run.final.set_result(answer)

    def _watch_deadlines(self) -> None:
        """Answer operations whose time is over; the objects stay locked until the functions really return."""
        while True:
            with self._lock:
                if self._closed:
                    return
                now = time.time()
                if not self._deadlines or self._deadlines[0][0] > now:
                    self._lock.wait(min(60.0, self._deadlines[0][0] - now) if self._deadlines else 60.0)
                    continue
                run = self._runs.get(heapq.heappop(self._deadlines)[1])
            if run is not None and not run.final.done():
                self._time_out(run)

    def _time_out(self, run: _Run) -> None:
        message = "the operation was not done by its deadline"
        self._answer(run, "failed", failure=Failure(code="timeout", message=message, retryable=True))
        run.progress.stopped.set()  # after the answer: the function that it ends has one of its own
