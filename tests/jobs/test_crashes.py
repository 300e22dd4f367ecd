"""kill -9 at every boundary of every kind of workflow: the same effects as without, each once."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pileus.core.database import Database
from pileus.core.jobs import tables
from tests.jobs.world import effect, effects, held

FULL = [[1, "start"]]
FLOWS: list[tuple[str, dict[str, Any], list[Any]]] = [
    ("plain", {"name": "a"}, []),
    ("plain", {"name": "a", "fail": "no room"}, []),
    ("finishing", {"name": "a"}, []),
    ("placing", {"hosts": [1, 2]}, FULL),
    ("placing", {"hosts": [1]}, FULL),
    ("many_calls", {"hosts": [1, 2, 3]}, []),
    ("parent", {"name": "a"}, []),
    ("parent", {"name": "a", "fail": True}, []),
    ("converging", {"object_id": 5}, []),
    ("sleeping", {"seconds": 0.05}, []),
    ("downloading", {"seconds": 0.01}, []),
]

Ask = Callable[..., Any]


@pytest.fixture
def ask(url: str) -> Iterator[Ask]:
    """A function that runs an engine in a child process of the server of deaths."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.jobs.crashing"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=root
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def run(**request: Any) -> Any:
            process.stdin.write(json.dumps({"url": url, "server": "one", **request}) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield run
        process.stdin.close()
        process.wait(10)


def _outcome(database: Database) -> dict[str, Any]:
    """Return all that a user or an operator would see; numbers of rows are masked (PostgreSQL burns them)."""
    with database.read() as db:
        jobs = db.execute(sa.select(tables.job).order_by(tables.job.c.id)).all()
        loose = db.execute(
            sa.select(sa.func.count()).select_from(tables.outbox).where(tables.outbox.c.state != "done")
        ).scalar_one()
        flying = db.execute(
            sa.select(sa.func.count())
            .select_from(tables.convergence)
            .where(tables.convergence.c.applied < tables.convergence.c.desired)
        ).scalar_one()
        waiters = db.execute(sa.select(sa.func.count()).select_from(tables.convergence_waiter)).scalar_one()
        names = {row.uuid: f"job{number}" for number, row in enumerate(jobs)}
        hosts = [
            (names[row.operation.split("/")[0]] + row.operation[36:] if row.operation[:36] in names else row.operation)
            for row in db.execute(sa.select(held).order_by(held.c.operation))
        ]
    return {
        "jobs": [(row.workflow, row.state, row.result_code) for row in jobs],
        "effects": [re.sub(r"^undo \d+", "undo", text) for text in effects(database)],
        "hosts": sorted(hosts),
        "loose": (loose, flying, waiters),
    }


def _clean(database: Database) -> None:
    with database.write() as db:
        for table in (
            tables.job,
            tables.job_step,
            tables.outbox,
            tables.convergence,
            tables.convergence_waiter,
            effect,
            held,
        ):
            db.execute(sa.delete(table))


@pytest.mark.parametrize(("flow", "arguments", "failing"), FLOWS)
def test_death_at_every_boundary(
    database: Database, ask: Ask, flow: str, arguments: dict[str, Any], failing: list[Any]
) -> None:
    points = ask(flow=flow, arguments=arguments, failing=failing)
    assert points
    undisturbed = _outcome(database)
    assert undisturbed["loose"] == (0, 0, 0)
    seen: set[tuple[str, int]] = set()
    for point, count in points:
        if (point, count) in seen or (point.startswith("courier") and count > 6):
            continue
        seen.add((point, count))
        _clean(database)
        died = ask(flow=flow, arguments=arguments, failing=failing, die=[point, count]) is None
        assert died or point.startswith("courier"), f"{point} was not reached again"
        resumed = ask(failing=failing)
        assert resumed is not None, f"after death at {point} the job did not end"
        assert _outcome(database) == undisturbed, f"death at {point} ({count})"
    assert len(seen) >= 4
