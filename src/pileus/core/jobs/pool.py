"""A few daemon threads for slow work: unlike an executor's they never hold up the end of the process."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)


class Pool:
    """Threads that are started when they are first needed, up to ``size``."""

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._idle = 0

    def submit(self, work: Callable[[], None]) -> None:
        """Run it soon; its errors are logged."""
        with self._lock:
            if self._idle <= self._queue.qsize() and len(self._threads) < self._size:
                thread = threading.Thread(target=self._run, name=f"{self._name}-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._queue.put(work)

    def _run(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            work = self._queue.get()
            with self._lock:
                self._idle -= 1
            if work is None:
                return
            try:
                work()
            except Exception:
                log.exception("work in a pool failed", pool=self._name)

    def stop(self, timeout: float) -> None:
        """Let the threads end after what they do now; wait that long at most for each."""
        with self._lock:
            threads = list(self._threads)
        for _ in threads:
            self._queue.put(None)
        for thread in threads:
            thread.join(timeout)
