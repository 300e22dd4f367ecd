"""Two servers on one PostgreSQL under load, one killed: the other finishes its jobs, and nothing happened twice."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from pileus.compute.tables import machine
from pileus.core.database import Database
from tests.kill.harness import Dying, deploy, disagreements, furnish
from tests.support.cloud import Cloud
from tests.support.postgres import fresh_database, postgres_server

__all__ = ["postgres_server"]

MACHINES = 40


@pytest.mark.postgres
def test_the_other_server_finishes_what_a_killed_one_began(postgres_server: str, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("first", "second")]
    servers = [Dying(tmp_path / f"log{number}") for number in range(2)]
    try:
        with fresh_database(postgres_server, "kill_cluster") as url:
            with Cloud.start(folders[0], database=url) as cloud:
                ids = furnish(cloud)
            _second_folder(*folders)
            before = _running(url)
            calls = [deploy(ids, "used") for _ in range(MACHINES)]
            for number, (_, parameters) in enumerate(calls):
                parameters["name"] = f"m{number}"
            servers[0].run(folders[0], url, calls, None, work=False)
            servers[0].start(folders[0], url, [], ["machine.deploy/place/1/reserve/after-commit", 10])
            servers[1].start(folders[1], url, [], None)
            assert servers[0].result() is None, "the first server was to be killed in the midst of it"
            rest = servers[1].result()
            assert rest is not None
            assert rest["quiet"]
            assert disagreements(url) == []
            assert _running(url) == before + MACHINES
    finally:
        for server in servers:
            server.close()


def _second_folder(first: Path, second: Path) -> None:
    """Give the second server the cloud's keys, but an identity of its own."""
    (second / "server").mkdir(parents=True)
    for file in (first / "server").iterdir():
        if file.is_file() and file.name != "server.id":
            (second / "server" / file.name).write_bytes(file.read_bytes())


def _running(url: str) -> int:
    database = Database(url)
    try:
        with database.read() as db:
            return db.execute(
                sa.select(sa.func.count()).select_from(machine).where(machine.c.state == "Running")
            ).scalar_one()
    finally:
        database.close()
