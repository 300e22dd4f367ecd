"""The management server as a process: ``serve(options)``; and ``python -m pileus.core.main token --data DIR``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import hashlib
import os
import secrets
import signal
import ssl
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
import structlog
import uvloop

from pileus.core import agent_edge, assembly, http, logs, plugins, renewal, tls_edge
from pileus.core.database import Database, insert, now
from pileus.core.hostchannel import HostChannel, NumberedChannel
from pileus.core.listeners import AddressTakenError, Listener
from pileus.core.mtls import client_context, server_context
from pileus.core.options import Options
from pileus.core.pki import Authority, renewal_due
from pileus.core.services import Services

if TYPE_CHECKING:
    from pileus.core.channel import HttpsChannel

log = structlog.get_logger(__name__)

STOP_SECONDS = 10
"""How long steps that run may take once the server is told to stop."""

TOKEN_SECONDS = 3600
"""How long a one-time enrolment token is good for."""


def serve(options: Options) -> None:
    """Run a management server until SIGTERM or SIGINT; exits with a plain message when it cannot start."""
    logs.configure()
    os.umask(0o077)  # what a server writes is its own
    try:
        uvloop.run(_Server(options).run())
    except (AddressTakenError, tls_edge.UnusableCertificateError) as error:
        sys.stderr.write(f"pileus server: {error}\n")
        sys.exit(1)


def settle_collector() -> None:
    """Let garbage collections pass over what lives as long as the process, and come less often.

    A full collection looks at every module, command and statement: 50 to 100 ms in which nothing else runs.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


class _Server:
    """The parts of the process, and the order in which they start and stop."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._listeners: list[Listener] = []
        self._edge: tls_edge.Edge | None = None
        self._contexts: list[ssl.SSLContext] = []  # with this server's own certificate

    async def run(self) -> None:
        """Start, serve, stop."""
        began = time.perf_counter()
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        options = self._options
        services = await asyncio.to_thread(assembly.open_services, options)
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(services.database.close)
            agents = await self._agents(services)
            if agents is not None:
                stack.push_async_callback(agents.close)
            channel = HostChannel(services.database, agents=agents, simulator=self._simulator(services, stack))
            engine = assembly.make_engine(
                services,
                channel,
                loop=loop,
                address=f"{options.listen}:{options.port}",
                agents_url=options.agents_url,
            )
            engine.on_shutdown(partial(loop.call_soon_threadsafe, stop.set))
            self._listen(services)
            await asyncio.to_thread(engine.start)
            settle_collector()
            stack.push_async_callback(asyncio.to_thread, engine.stop, STOP_SECONDS)
            tasks = [listener.start() for listener in self._listeners]
            log.info(
                "server is ready",
                url=f"http://127.0.0.1:{options.port}/client/api",
                data=str(options.data),
                seconds=round(time.perf_counter() - began, 2),
            )
            ended = asyncio.create_task(stop.wait())
            if self._contexts:
                keeper = asyncio.create_task(renewal.keep(services, authority_folder(options), self._contexts))
                stack.callback(keeper.cancel)
            if self._edge is not None:
                stack.callback(asyncio.create_task(self._edge.keep()).cancel)
            await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
            log.info("server is stopping")
            ended.cancel()
            await asyncio.gather(*(listener.stop() for listener in self._listeners))
        log.info("server has stopped")

    def _listen(self, services: Services) -> None:
        """Take the ports: the API's, the agents', and the one without credentials when it is wanted."""
        options = self._options
        self._listeners.append(Listener(http.application(services), options.plain_listen, options.port))
        if options.tls_port:
            self._edge = tls_edge.Edge(*options.tls_files)
            app = http.application(services)
            self._listeners.append(Listener(app, options.listen, options.tls_port, tls=self._edge.context))
        if options.integration_port:
            self._listeners.append(
                Listener(http.integration_application(services), "127.0.0.1", options.integration_port)
            )
        if not options.simulator:
            folder = authority_folder(options)
            tls = server_context(
                folder / "server.crt", folder / "server.key", folder / "ca.crt", certificate_required=False
            )
            self._contexts.append(tls)
            app = agent_edge.application(services)
            self._listeners.append(Listener(app, options.listen, options.agents_port, tls=tls))

    async def _agents(self, services: Services) -> HttpsChannel | None:
        """Return the channel to real hosts' agents, with certificates made when missing or due."""
        if self._options.simulator:
            return None
        from pileus.core.channel import HttpsChannel

        folder = authority_folder(self._options)
        authority = Authority.open(folder)
        services.plugins["authority"] = authority
        certificate = folder / "server.crt"
        if not certificate.exists() or renewal_due(certificate.read_text()):
            await asyncio.to_thread(renewal.renew, services, authority, folder)
        tls = client_context(certificate, folder / "server.key", folder / "ca.crt")
        self._contexts.append(tls)
        return HttpsChannel(tls)

    def _simulator(self, services: Services, stack: contextlib.AsyncExitStack) -> NumberedChannel | None:
        if not self._options.simulator:
            return None
        from pileus.drivers.simulator import SimulatorChannel

        simulator = SimulatorChannel(services.database)
        stack.callback(simulator.close)
        return simulator


def authority_folder(options: Options) -> Path:
    """Return where the cloud's certificate authority is kept."""
    return options.home / "ca"


def new_token(options: Options) -> str:
    """Return a new one-time token with which a host may enrol: ``<secret>.<fingerprint of the authority>``."""
    tokens = plugins.all_tables().tables["enrolment_token"]
    authority = Authority.open(authority_folder(options))
    secret = secrets.token_urlsafe(32)
    database = Database(options.database_url)
    try:
        with database.write() as db:
            db.execute(sa.delete(tokens).where(tokens.c.expires < now()))
            hashed = hashlib.sha256(secret.encode()).hexdigest()
            insert(db, tokens, token_hash=hashed, expires=now() + TOKEN_SECONDS)
    finally:
        database.close()
    return f"{secret}.{authority.fingerprint}"


def main(arguments: list[str] | None = None) -> int:
    """Run the server's own small commands."""
    parser = argparse.ArgumentParser(prog="python -m pileus.core.main")
    commands = parser.add_subparsers(dest="command", required=True)
    token = commands.add_parser("token", help="print a new one-time token with which a host may enrol")
    token.add_argument("--data", type=Path, required=True, help="the cloud's data folder")
    given = parser.parse_args(arguments)
    sys.stdout.write(new_token(Options.load(given.data)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
