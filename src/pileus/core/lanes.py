"""Lanes: a call is answered by the event loop itself while calls like it are quick, otherwise by a thread.

Two busy threads of one Python process hand its lock to one another at every statement, which on two cores costs twice
what the call itself does (3.6 ms of CPU for a list that takes 1.3).  So a quick read is not handed over at all.  One
that turns out slow is interrupted where the database can do that (SQLite), run again by a thread, and calls of its
kind go to threads at once for a while.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable
from typing import TypeVar

import anyio.to_thread

T = TypeVar("T")

QUICK = 0.02
"""Seconds of processor time that a call may take in the loop.

Time by the clock would tell of the others: beside busy threads a call of 2 ms takes 100, which would send all kinds to
threads, and keep them there.
"""

LONGEST = 0.05
"""Seconds by the clock that a call may take in the loop: one that waits for the database uses no processor."""

_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 320.0
_MOST_KINDS = 5_000


class Expired(Exception):
    """A call in the loop has taken too long: it is to be run again by a thread."""


class _Turn(threading.local):
    used = math.inf  # of the thread's processor time
    ends = math.inf  # by the monotonic clock


_turn = _Turn()


def overdue() -> bool:
    """Tell whether the call that this thread runs has outlasted its turn in the loop."""
    return time.thread_time() > _turn.used or time.monotonic() > _turn.ends


class Lanes:
    """The threads of an API edge, and what it knows of the kinds of call that are slow."""

    def __init__(self, threads: int) -> None:
        self._most = threads
        self._limiter: anyio.CapacityLimiter | None = None  # made in the loop that uses it
        self._slow: dict[Hashable, tuple[float, float]] = {}  # until when a kind goes to threads, and for how long

    async def run(self, work: Callable[[], T], *, kind: Hashable | None = None) -> T:
        """Return what the work returns.

        ``kind``: work that changes nothing, may be done twice, and is about as slow as all others of its kind; None
        for work that a thread must do.
        """
        if kind is not None and time.monotonic() > self._slow.get(kind, (0.0, 0.0))[0]:
            try:
                return self._here(kind, work)
            except Expired:
                pass
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._most)
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)  # by a thread that no exit waits for

    def _here(self, kind: Hashable, work: Callable[[], T]) -> T:
        _turn.used, _turn.ends = time.thread_time() + QUICK, time.monotonic() + LONGEST
        try:
            return work()
        finally:
            slow = overdue()
            _turn.used = _turn.ends = math.inf
            if slow:
                self._avoid(kind, time.monotonic())
            elif kind in self._slow:
                del self._slow[kind]

    def _avoid(self, kind: Hashable, moment: float) -> None:
        """Keep a kind out of the loop, each time for twice as long."""
        pause = min(self._slow.get(kind, (0.0, _FIRST_PAUSE / 2))[1] * 2, _LONGEST_PAUSE)
        if len(self._slow) >= _MOST_KINDS:
            self._slow.clear()
        self._slow[kind] = (moment + pause, pause)
