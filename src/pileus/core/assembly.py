"""Assembly: the parts of a server put together from its options, for the process and for tests alike."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
import structlog

from pileus.core import events, housekeeping, plugins
from pileus.core.database import Database
from pileus.core.hostchannel import HostChannel
from pileus.core.jobs import Engine, Hooks
from pileus.core.options import Options
from pileus.core.secrets import Secrets
from pileus.core.services import Services
from pileus.core.settings import Settings
from pileus.identity import bootstrap

log = structlog.get_logger(__name__)

_START_LOCK = 20715  # PostgreSQL advisory lock: one server at a time migrates and makes the first rows


def open_services(options: Options, *, migrate: Callable[[Database], None] | None = None) -> Services:
    """Return the services of a data folder; a new cloud gets its schema, its first rows and its admin.

    The first admin's credentials are left in ``options.admin_file`` (0600).  ``migrate`` replaces the migrations.
    """
    plugins.load_all()
    options.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = Database(options.database_url)
    secrets = Secrets(options.home / "secrets.key")
    services = Services(
        database=database,
        secrets=secrets,
        settings=Settings(database),
        data=options.home,
        server=server_id(options.home),
    )
    services.plugins["options"] = options
    with alone(database):
        (migrate or _migrate)(database)
        with database.write() as db:
            if bootstrap.is_new(db):
                credentials = bootstrap.first_start(db, secrets)
                # Before the commit: credentials without a cloud do no harm, a cloud without credentials would.
                write_private(options.admin_file, msgspec.json.encode(credentials))
            plugins.seed_all(db)
    return services


def _migrate(database: Database) -> None:
    from pileus.core import migrations  # Alembic is slow to import, and tests that bring their own tables do without

    migrations.upgrade(database)


@contextmanager
def alone(database: Database) -> Generator[None]:
    """Keep other servers of the same PostgreSQL out of what is done at the start."""
    if database.sqlite:
        yield
        return
    with database.engine.connect() as connection:
        connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": _START_LOCK})
        try:
            yield
        finally:
            connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": _START_LOCK})
            connection.rollback()


def make_engine(
    services: Services,
    channel: HostChannel,
    *,
    loop: asyncio.AbstractEventLoop | None = None,
    address: str = "",
    **more: Any,
) -> Engine:
    """Return the job engine of a server, not yet started; the services know it from now on."""
    engine = Engine(
        services.database,
        keep=lambda: 60.0 * services.settings.get(housekeeping.JOB_KEPT),
        server=services.server,
        channel=channel,
        services=services,
        hooks=Hooks(completed=events.job_ended, failed_undo=events.undo_failed),
        loop=loop,
        address=address,
        **more,
    )
    services.engine = engine
    return engine


def server_id(home: Path) -> str:
    """Return the uuid of the server of this folder, chosen at its first start."""
    file = home / "server.id"
    if not file.exists():
        write_private(file, str(uuid.uuid4()).encode())
    return file.read_text().strip()


def write_private(file: Path, content: bytes) -> None:
    """Write a file of mode 0600, whole or not at all."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    fresh.replace(file)
