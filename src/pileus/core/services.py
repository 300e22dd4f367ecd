"""Services: what a running server has at hand, made once at start and passed explicitly."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pileus.core.database import Database
from pileus.core.secrets import Secrets
from pileus.core.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pileus.core.jobs import Engine

_by_engine: weakref.WeakKeyDictionary[Any, weakref.ref[Services]] = weakref.WeakKeyDictionary()


def of(db: Connection) -> Services:
    """Return the services of a connection's database: for code that is given a connection and nothing else."""
    reference = _by_engine.get(db.engine)
    services = reference() if reference is not None else None
    if services is None:
        raise LookupError("no services belong to this database in this process")
    return services


class Services:
    """Database, secrets, settings and the job engine of one server process."""

    def __init__(self, *, database: Database, secrets: Secrets, settings: Settings, data: Path, server: str) -> None:
        self.database = database
        self.secrets = secrets
        self.settings = settings
        self.data = data  # the server's own folder: DATA/server
        self.server = server  # uuid of this server process
        self.engine: Engine | None = None  # set once it is made; None in tools that only use the database
        self.plugins: dict[str, Any] = {}  # what a slice keeps for the life of the process, by its own name
        _by_engine[database.engine] = weakref.ref(self)
