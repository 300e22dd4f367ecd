"""The engine: workers, courier and clock of one server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from pileus.core.database import Database
from pileus.core.jobs import retention
from pileus.core.jobs import signals as wakeups
from pileus.core.jobs.clock import Clock
from pileus.core.jobs.courier import Courier
from pileus.core.jobs.hooks import Hooks
from pileus.core.jobs.membership import Membership
from pileus.core.jobs.pool import Pool
from pileus.core.jobs.runtime import Channel, Runtime
from pileus.core.jobs.signals import Signals
from pileus.core.jobs.worker import Workers


class Engine:
    """Runs jobs of a database; any number of servers may do so on one PostgreSQL.

    ``server``: the server's stable name, unique among servers (one that starts again takes up at once what it held).
    ``per_host``: operations in flight to a host at most.  ``lease``: seconds after which a silent server's jobs are
    taken over.  ``keep``: seconds for which jobs are kept after their end.  ``loop``: runs the deliveries, in a thread
    that must not be the one that calls ``stop``.  ``probe`` is called, in tests, wherever a process can die.
    """

    def __init__(
        self,
        database: Database,
        *,
        server: str,
        workers: int = 4,
        channel: Channel,
        services: Any = None,
        hooks: Hooks | None = None,
        address: str = "",
        agents_url: str = "",
        lease: float = 10,
        per_host: int = 16,
        undo_tries: int = 8,
        keep: float | Callable[[], float] = retention.KEEP_SECONDS,
        loop: asyncio.AbstractEventLoop | None = None,
        probe: Callable[[str], None] | None = None,
    ) -> None:
        self.database = database
        self.membership = Membership(database, server, address=address, lease=lease, agents_url=agents_url)
        self._signals = Signals()
        self._runtime = Runtime(
            database=database,
            owner=self.membership.uuid,
            services=services,
            hooks=hooks or Hooks(),
            signals=self._signals,
            lease=lease,
            undo_tries=undo_tries,
            pool=Pool(4, "jobs-local"),
            probe=probe,
        )
        self._courier = Courier(self._runtime, channel, per_host=per_host, loop=loop)
        self._runtime.courier = self._courier
        self._keep = keep
        self._clock = Clock(self._runtime, self.membership, self._courier, keep=self.kept)
        self._workers = Workers(self._runtime, workers)
        self._listener: Any = None
        if not database.sqlite:
            from pileus.core.jobs.listener import Listener

            self._listener = Listener(database.url, self._signals, self._runtime.stopping)

    @property
    def in_flight(self) -> int:
        """Return how many operations of jobs are in flight."""
        return self._courier.in_flight

    def kept(self) -> float:
        """Return for how many seconds jobs are kept after their end."""
        return self._keep() if callable(self._keep) else self._keep

    def on_shutdown(self, function: Callable[[], object]) -> None:
        """Register what ends the process once the server was told to shut down and has finished its jobs."""
        self._clock.on_shutdown = function

    def start(self) -> None:
        """Begin to run jobs."""
        wakeups.attach(self.database.engine, self._signals)
        self._clock.start()
        self._courier.start()
        self._workers.start()
        if self._listener is not None:
            self._listener.start()

    def stop(self, timeout: float = 10) -> None:
        """Finish the steps that run, give the jobs back, and stop; waiting jobs go on wherever there is a server."""
        deadline = time.monotonic() + timeout
        self._runtime.stopping.set()
        self._signals.all()
        self._workers.join(deadline)
        self._runtime.pool.stop(max(0.0, min(1.0, deadline - time.monotonic())))
        self._courier.stop(deadline)
        if self._listener is not None:
            self._listener.stop(1.0)
        self._clock.stop(deadline)
        wakeups.detach(self.database.engine, self._signals)
