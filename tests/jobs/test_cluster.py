"""Several servers on one PostgreSQL: exclusion by key, and one that dies under load."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from pileus.core.database import Database
from pileus.core.jobs import tables
from tests.jobs import flows
from tests.jobs.world import effects, held, start, until, wait

pytestmark = pytest.mark.postgres

Serve = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def cluster(postgres_url: str) -> Iterator[Database]:
    """The shared database."""
    database = Database(postgres_url)
    yield database
    database.close()


@pytest.fixture
def serve(postgres_url: str) -> Iterator[Serve]:
    """A function that starts server processes."""
    processes: list[subprocess.Popen[str]] = []

    def run(name: str, delay: float = 0.01) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.jobs.serving", postgres_url, name, str(delay)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready")
        return process

    yield run
    for process in processes:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def test_one_key_one_job_with_four_servers(cluster: Database, serve: Serve) -> None:
    for number in range(4):
        serve(f"server{number}")
    jobs = [start(cluster, flows.nap_with_key, key=f"k{n % 8}", name=f"k{n % 8} {n}") for n in range(160)]
    rows = wait(cluster, *jobs, seconds=60)
    assert {row.state for row in rows} == {"done"}
    for key in range(8):
        mine = [text.split() for text in effects(cluster) if text.split()[1] == f"k{key}"]
        assert [kind for kind, *_ in mine] == ["in", "out"] * 20
        assert [int(number) for kind, _, number in mine if kind == "in"] == list(range(key, 160, 8))


def test_a_killed_server_is_taken_over_under_load(cluster: Database, serve: Serve) -> None:
    victim = serve("victim", 0.05)
    serve("survivor", 0.05)
    jobs = [
        start(cluster, flows.plain, key=f"k{n}", name=str(n), fail="no room" if n % 5 == 0 else "") for n in range(150)
    ]
    jobs += [start(cluster, flows.converging, object_id=n % 7) for n in range(50)]
    until(lambda: len(effects(cluster)) > 60, 30)
    victim.kill()
    killed = time.time()
    rows = wait(cluster, *jobs, seconds=60)
    assert max(row.completed for row in rows) - killed < 30
    expected = ["failed" if n % 5 == 0 else "done" for n in range(150)] + ["done"] * 50
    assert [row.state for row in rows] == expected
    traces = Counter(text for text in effects(cluster) if text.split()[0].isdigit())
    assert traces == Counter(f"{n} {what}" for n in range(150) for what in ("first", "second"))
    undone = [text for text in effects(cluster) if text.startswith("undo ")]
    assert len(undone) == len(set(undone)) == 60
    with cluster.read() as db:
        kinds = Counter(db.execute(sa.select(held.c.kind)).scalars())
        loose = db.execute(sa.select(sa.func.count()).select_from(tables.outbox).where(tables.outbox.c.state != "done"))
        assert loose.scalar_one() == 0
    assert (kinds["attach"], kinds["on"], kinds["off"]) == (150, 150, 60)
