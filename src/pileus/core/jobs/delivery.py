"""Deliveries: one small asyncio task for each operation in flight."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine, Hashable
from typing import Any

import structlog

from pileus.core.database import now
from pileus.core.jobs.runtime import Channel
from pileus.wire.operations import Answer, Failure, Operation

log = structlog.get_logger(__name__)

LOST = 3  # an operation that its host has lost is delivered so often at most
ABORT_SECONDS = 5.0

Done = Callable[[Answer], None]


class Delivery:
    """Tasks on one loop: the caller's, or one in a thread of its own."""

    def __init__(self, channel: Channel, loop: asyncio.AbstractEventLoop | None) -> None:
        self._channel = channel
        self._given = loop
        self._loop = loop or asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="jobs-delivery", daemon=True)
        self._tasks: dict[Hashable, asyncio.Task[Any]] = {}
        self._stopping = False

    def start(self) -> None:
        """Start the loop's thread, when the loop is ours."""
        if self._given is None:
            self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def stop(self, timeout: float) -> None:
        """End every task; what was in flight gets no answer from us."""

        async def end() -> None:
            self._stopping = True
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        if self._loop.is_closed() or not self._loop.is_running():
            return
        future = asyncio.run_coroutine_threadsafe(end(), self._loop)
        try:
            future.result(timeout)
        except TimeoutError:
            log.warning("deliveries did not end in time", seconds=timeout)
        if self._given is None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout)
            if not self._thread.is_alive():
                self._loop.close()

    def send(self, key: Hashable, host: int, operation: Operation, done: Done) -> None:
        """Deliver an operation; ``done`` gets the final answer (in the loop's thread)."""
        self._loop.call_soon_threadsafe(self._begin, key, host, operation, done)

    def abort(self, key: Hashable, host: int, identity: str) -> None:
        """Give an operation up, and ask its host to do so."""

        def begin() -> None:
            task = self._tasks.get(key)
            if task is not None:
                task.cancel()
            self._spawn(("abort", key), self._tell(host, identity))

        self._loop.call_soon_threadsafe(begin)

    def _begin(self, key: Hashable, host: int, operation: Operation, done: Done) -> None:
        identity = operation.id

        def ended(task: asyncio.Task[Answer]) -> None:
            if not task.cancelled():
                done(task.result())
            elif not self._stopping:
                done(Answer(id=identity, state="aborted"))

        self._spawn(key, self._carry(host, operation)).add_done_callback(ended)

    def _spawn(self, key: Hashable, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self._loop.create_task(work)
        self._tasks[key] = task

        def forget(ended: asyncio.Task[Any]) -> None:
            if self._tasks.get(key) is ended:
                del self._tasks[key]

        task.add_done_callback(forget)
        return task

    async def _carry(self, host: int, operation: Operation) -> Answer:
        identity, kind = operation.id, operation.kind
        try:
            async with asyncio.timeout(max(0.0, operation.deadline - now())):
                return await self._persist(host, operation)
        except TimeoutError:
            log.warning("an operation took too long", host=host, operation=identity, kind=kind)
            self._spawn(("abort", identity), self._tell(host, identity))
            failure = Failure(code="timeout", message="The host did not answer in time", retryable=True)
            return Answer(id=identity, state="failed", failure=failure)

    async def _persist(self, host: int, operation: Operation) -> Answer:
        """Deliver until there is a final answer: a broken road is no failure before the deadline."""
        lost, pause = 1, 0.1
        current = operation
        while True:
            try:
                answer = await self._channel.deliver(host, current)
            except Exception as error:
                log.warning(
                    "a host was not reached; trying again until the operation's deadline",
                    host=host,
                    operation=current.id,
                    reason=f"{type(error).__name__}: {error}",
                )
            else:
                if answer.state == "lost" and lost < LOST:
                    lost += 1
                    log.warning("a host lost an operation; delivering it anew", host=host, operation=current.id)
                    current = _renamed(operation, f"{operation.id}#{lost}")
                    continue
                if answer.final:
                    return answer
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 (spreads the tries)
            pause = min(pause * 2, 5.0)

    async def _tell(self, host: int, identity: str) -> None:
        """Ask the host to stop; nothing depends on its doing so."""
        abort: Any = getattr(self._channel, "abort", None)
        if abort is None:
            return
        try:
            async with asyncio.timeout(ABORT_SECONDS):
                await abort(host, identity)
        except Exception as error:
            log.info("a host was not told to abort", host=host, operation=identity, reason=str(error))


def _renamed(operation: Operation, identity: str) -> Operation:
    return Operation(
        id=identity,
        kind=operation.kind,
        object=operation.object,
        fence=operation.fence,
        deadline=operation.deadline,
        arguments=operation.arguments,
        request=operation.request,
    )
