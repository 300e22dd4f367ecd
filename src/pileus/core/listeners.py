"""Listeners: sockets and uvicorn servers of one process, all on one loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Generator
from typing import Any

import uvicorn

from pileus.core.mtls import MutualProtocol

BACKLOG = 2048
KEEP_ALIVE = 75
GRACE = 5
"""Seconds that answers under way may take once the server is told to stop."""


class AddressTakenError(Exception):
    """A port on which the server cannot listen; the text says what to do."""


class _Quiet(uvicorn.Server):
    """Uvicorn's server without its signal handlers: the process has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals alone."""
        yield


class Listener:
    """An application on a port."""

    def __init__(self, app: Any, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self._socket = bind(host, port)
        self.port = int(self._socket.getsockname()[1])
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            http=MutualProtocol if tls else "httptools",
            proxy_headers=False,  # whose word counts is a setting: see core/origin.py
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=GRACE,
            ssl_context_factory=(lambda _config, _default: tls) if tls else None,
        )
        self._server = _Quiet(config)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> asyncio.Task[None]:
        """Begin to serve on the running loop; the task ends when the listener does."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        return self._task

    @property
    def ready(self) -> bool:
        """Tell whether requests are taken."""
        return self._server.started

    async def stop(self) -> None:
        """Take no more requests, let those under way end, close."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        self._socket.close()


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; raises AddressTaken when the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise AddressTakenError(
            f"cannot listen on {host} port {port}: {error.strerror}; stop what listens there, or choose another port"
        ) from error
