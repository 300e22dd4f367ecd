"""Wake-ups from other servers: PostgreSQL's LISTEN, on a connection of its own."""

from __future__ import annotations

import threading

import psycopg
import structlog
from sqlalchemy.engine import make_url

from pileus.core.jobs.signals import CHANNEL, Signals

log = structlog.get_logger(__name__)


class Listener:
    """One thread that passes notifications on; while it cannot, everybody looks once a second anyway."""

    def __init__(self, url: str, signals: Signals, stopping: threading.Event) -> None:
        self._url = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._signals = signals
        self._stopping = stopping
        self._thread = threading.Thread(target=self._run, name="jobs-listener", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Wait for the thread (it looks at the stopping event twice a second)."""
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True, connect_timeout=10) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self._signals.all()
                    self._listen(connection)
            except psycopg.Error as error:
                log.warning("no notifications from the database; connecting again", reason=str(error).strip())
                self._stopping.wait(1.0)

    def _listen(self, connection: psycopg.Connection) -> None:
        while not self._stopping.is_set():
            for notification in connection.notifies(timeout=0.5):
                if notification.payload == "jobs":
                    self._signals.jobs()
                elif notification.payload == "courier":
                    self._signals.wish()
                else:
                    self._signals.all()
