"""Fixtures of the job tests: a database of either kind, and a world of effects to look at."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pileus.core.database import Database
from pileus.core.jobs import Engine, Hooks
from tests.jobs.world import Channel, create
from tests.support.postgres import fresh_database, postgres_server

__all__ = ["postgres_server"]

_numbers = itertools.count()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database with tables."""
    if request.param == "sqlite":
        target = f"sqlite:///{tmp_path}/jobs.db"
        create(target)
        yield target
        return
    server = request.getfixturevalue("postgres_server")
    with fresh_database(server, f"jobs_{next(_numbers)}") as target:
        create(target)
        yield target


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database with tables."""
    with fresh_database(postgres_server, f"jobs_{next(_numbers)}") as target:
        create(target)
        yield target


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """An open database."""
    database = Database(url)
    yield database
    database.close()


@pytest.fixture
def channel(database: Database) -> Channel:
    """Simulated hosts that record their effects in the database."""
    return Channel(database)


@pytest.fixture
def engine(database: Database, channel: Channel) -> Iterator[Callable[..., Engine]]:
    """A function that starts engines on the database; they are stopped afterwards."""
    engines: list[Engine] = []

    def start(**options: Any) -> Engine:
        options = {"server": "one", "lease": 2, "channel": channel, "hooks": Hooks(), **options}
        made = Engine(database, **options)
        made.start()
        engines.append(made)
        return made

    yield start
    for made in engines:
        made.stop(10)
