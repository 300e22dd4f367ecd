"""Wake-ups: who sleeps until there is work is told so after the commit that made it.

Within a process these are callbacks; between servers PostgreSQL's NOTIFY; where neither reaches, everybody looks once
a second.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

from sqlalchemy import Connection

from pileus.core.database import after_commit
from pileus.core.jobs.prepared import Prepared

CHANNEL = "pileus_jobs"

_notify = Prepared("SELECT 1", postgresql=f"SELECT pg_notify('{CHANNEL}', :what)")


class Signals:
    """The wake-ups of one engine."""

    def __init__(self) -> None:
        self.work = threading.Condition()
        self._work = 0
        self.busy = False  # more ready jobs than this server's workers take at once
        self.courier = threading.Event()
        self.wishes = True  # some objects may want to be converged
        self.clock = threading.Event()

    def jobs(self) -> None:
        """Wake a worker: a job is ready."""
        with self.work:
            self._work += 1
            self.work.notify()

    def wish(self) -> None:
        """Wake the courier: an object wants to be converged."""
        self.wishes = True
        self.courier.set()

    def wait_for_jobs(self, seen: int, timeout: float) -> None:
        """Wait until there was a wake-up since ``seen``."""
        with self.work:
            if self._work == seen:
                self.work.wait(timeout)

    @property
    def count(self) -> int:
        """Return the number of wake-ups so far, to be read before looking for work."""
        return self._work

    def all(self) -> None:
        """Wake everybody."""
        with self.work:
            self._work += 1
            self.work.notify_all()
        self.wish()
        self.clock.set()


_by_engine: weakref.WeakKeyDictionary[Any, Signals] = weakref.WeakKeyDictionary()


def attach(database_engine: Any, signals: Signals) -> None:
    """Make these the wake-ups for transactions on this database in this process."""
    _by_engine[database_engine] = signals


def detach(database_engine: Any, signals: Signals) -> None:
    """Undo ``attach``."""
    if _by_engine.get(database_engine) is signals:
        del _by_engine[database_engine]


def ready(db: Connection) -> None:
    """After this transaction a job is ready: wake a worker, here and (when all are busy here) elsewhere."""
    signals = _by_engine.get(db.engine)
    if signals is not None:
        after_commit(db, signals.jobs)
    if (signals is None or signals.busy) and db.dialect.name == "postgresql":
        _notify.post(db, what="jobs")


def desired(db: Connection) -> None:
    """After this transaction an object wants to be converged."""
    signals = _by_engine.get(db.engine)
    if signals is not None:
        after_commit(db, signals.wish)
    elif db.dialect.name == "postgresql":
        _notify.post(db, what="courier")


def everywhere(db: Connection) -> None:
    """After this transaction every server shall look."""
    signals = _by_engine.get(db.engine)
    if signals is not None:
        after_commit(db, signals.all)
    if db.dialect.name == "postgresql":
        _notify.post(db, what="all")
