"""Connections to libvirt: one a thread, made again when lost, and one more that listens to events."""

from __future__ import annotations

import atexit
import contextlib
import threading
from collections.abc import Callable
from typing import Any

import libvirt
import structlog

from pileus.drivers.hypervisors.base import HypervisorError

log = structlog.get_logger(__name__)

_KEEPALIVE_SECONDS, _KEEPALIVE_COUNT = 5, 3
_LOOK_SECONDS = 2.0
_LOOP_TICK_SECONDS = 1.0
_loop_lock = threading.Lock()
_loop: threading.Thread | None = None
_ending = threading.Event()


def start_event_loop() -> None:
    """Start libvirt's event loop in a thread, once a process; keep-alives and events need it."""
    global _loop  # noqa: PLW0603
    with _loop_lock:
        if _loop is not None:
            return
        libvirt.virEventRegisterDefaultImpl()
        libvirt.registerErrorHandler(_quiet, None)
        # Without a timer the loop would sleep in poll() until something else happens.
        libvirt.virEventAddTimeout(round(1000 * _LOOP_TICK_SECONDS), _tick, None)
        _loop = threading.Thread(target=_run_loop, name="libvirt-events", daemon=True)
        _loop.start()
        atexit.register(_end_event_loop, _loop)


class Connections:
    """Hands each thread its own live connection to `uri`."""

    def __init__(self, uri: Callable[[], str]) -> None:
        start_event_loop()
        self._uri = uri
        self._local = threading.local()

    def get(self) -> libvirt.virConnect:
        """Return this thread's connection; HypervisorError (retryable) when libvirt does not answer."""
        connection: libvirt.virConnect | None = getattr(self._local, "connection", None)
        if connection is not None and _alive(connection):
            return connection
        self._local.connection = None
        connection = self.open()
        self._local.connection = connection
        return connection

    def open(self) -> libvirt.virConnect:
        """Open one more connection, which the caller closes."""
        uri = self._uri()
        try:
            connection = libvirt.open(uri)
            connection.setKeepAlive(_KEEPALIVE_SECONDS, _KEEPALIVE_COUNT)
        except libvirt.libvirtError as error:
            text = "libvirt does not answer on this host"
            raise HypervisorError("hypervisor-down", text, retryable=True, detail=f"{uri}: {error}") from error
        return connection


class Watcher:
    """Listens to the life-cycle events of all domains, and connects again when libvirt was restarted."""

    def __init__(self, connections: Connections, changed: Callable[[], None]) -> None:
        self._connections = connections
        self._changed = changed
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="libvirt-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._closing.set()
        self._thread.join(2 * _LOOK_SECONDS)

    def _run(self) -> None:
        """Listen; that libvirt is away is said once, and that it is back."""
        connection: libvirt.virConnect | None = None
        away = False
        while not self._closing.is_set():
            if connection is None or not _alive(connection):
                try:
                    connection = self._listen()
                    if away:
                        log.info("events of libvirt are watched again")
                    away = False
                    self._changed()
                except (HypervisorError, libvirt.libvirtError) as error:
                    connection = None
                    if not away:
                        log.warning("events of libvirt cannot be watched; trying again", why=str(error))
                    away = True
            self._closing.wait(_LOOK_SECONDS)
        if connection is not None:
            with contextlib.suppress(libvirt.libvirtError):  # libvirt ended before us
                connection.close()

    def _listen(self) -> libvirt.virConnect:
        connection = self._connections.open()
        connection.domainEventRegisterAny(  # pyright: ignore[reportUnknownMemberType]
            None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._event, None
        )
        return connection

    def _event(self, *_: Any) -> None:
        self._changed()


def _alive(connection: libvirt.virConnect) -> bool:
    try:
        return bool(connection.isAlive())
    except libvirt.libvirtError:
        return False


def _end_event_loop(loop: threading.Thread) -> None:
    """End the loop before the interpreter goes: a callback into one that is gone kills the process (SIGSEGV)."""
    _ending.set()
    libvirt.virEventAddTimeout(0, _tick, None)  # wakes the loop
    loop.join(2 * _LOOP_TICK_SECONDS)
    libvirt.registerErrorHandler(None, None)  # pyright: ignore[reportArgumentType] -- None takes it away


def _run_loop() -> None:
    while not _ending.is_set():
        if libvirt.virEventRunDefaultImpl() < 0:
            log.error("libvirt's event loop failed once; going on")


def _tick(*_: Any) -> None:
    """Do nothing, now and then."""


def _quiet(*_: Any) -> None:
    """Keep libvirt from printing errors to stderr: they are raised as exceptions anyway."""
