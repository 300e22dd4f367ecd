"""What the job engine costs: processor time per job, jobs per second, and ten thousand jobs that wait.

Run: ``python -m bench.jobs [--database URL] [--jobs N] [--waiting N]``.  Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy import Connection

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench._figures import finish, report
from pileus.core.database import Database, metadata, now
from pileus.core.jobs import Engine, Job, Rendered, converger, desire, submit, tables, workflow
from pileus.wire.operations import Answer, Failure, Operation

MOST_MS = 6.0  # of CPU for a job
MOST_MB = 150.0  # that waiting jobs take above idle
MOST_SLOWER = 1.5  # how much longer a quick job may take beside them


def _touch(db: Connection) -> int:
    return db.exec_driver_sql("SELECT 1").scalar_one()


@workflow("bench.typical")
def typical(job: Job, router: int) -> None:
    """Two commits, two calls, one convergence, the end."""
    job.commit("reserve", _touch)
    job.call("volume", router % 20 + 1, "volume.create", f"volume:{job.id}", {"size": 1 << 30})
    job.commit("rules", lambda db: desire(db, "bench.router", router))
    job.converge("bench.router", router)
    job.call("start", router % 20 + 1, "machine.start", f"machine:{job.id}", {"cpus": 1, "memory": 512})
    job.finish("running", lambda _db: {"id": job.id})


@workflow("bench.slow")
def slow(job: Job, host: int) -> None:
    """One operation that takes for ever."""
    job.call("wait", host, "wait", f"thing:{job.id}", {"some": "arguments", "of": "usual size" * 10}, timeout=3000)


@workflow("bench.quick")
def quick(job: Job) -> None:
    """One commit."""
    job.commit("one", _touch)


@converger("bench.router")
class BenchRouter:
    """A router without rules."""

    def render(self, db: Connection, object_id: int) -> Rendered | None:
        """Return a state."""
        return Rendered(host=1, kind="router.apply", object=f"router:{object_id}", arguments={"rules": []})

    def applied(self, db: Connection, object_id: int, generation: int, result: dict[str, Any]) -> None:
        """Nothing to note."""

    def failed(self, db: Connection, object_id: int, generation: int, failure: Failure) -> None:
        """Nothing to note."""


class InstantChannel:
    """Hosts that answer at once, or (kind wait) never."""

    async def deliver(self, host: int, operation: Operation) -> Answer:
        """Answer."""
        if operation.kind == "wait":
            await asyncio.sleep(3000)
        return Answer(id=operation.id, state="done", result={"ok": True})


def _open(database: Database) -> int:
    with database.read() as db:
        query = sa.select(sa.func.count()).select_from(tables.job).where(tables.job.c.completed.is_(None))
        return db.execute(query).scalar_one()


def _run(database: Database, count: int) -> tuple[float, float, float]:
    """Submit jobs and run them all; return the seconds, and those of CPU in all and for submitting."""
    began, cpu = time.monotonic(), time.process_time()
    for number in range(count):
        with database.write() as db:
            submit(db, typical, key=f"machine:{number}", arguments={"router": number % 50})
    submitted = time.process_time() - cpu
    while _open(database):
        time.sleep(0.05)
    return time.monotonic() - began, time.process_time() - cpu, submitted


def throughput(database: Database, count: int) -> None:
    """Print how fast jobs are run."""
    _run(database, 50)  # warms up
    seconds, spent, submitted = _run(database, count)
    kind = "sqlite" if database.sqlite else "postgresql"
    report(f"jobs-{kind}-rate", count / seconds, "jobs/s")
    report(f"jobs-{kind}-cpu", spent / count * 1000, "ms/job", most=MOST_MS)
    report(f"jobs-{kind}-cpu-submitting", submitted / count * 1000, "ms/job")


def _memory() -> float:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * resource.getpagesize() / 2**20


def _latency(database: Database, count: int = 50) -> float:
    """Return the median time of a job of one commit, in milliseconds, one after another."""
    times: list[float] = []
    for _ in range(count):
        began = now()
        with database.write() as db:
            submission = submit(db, quick, key=None, arguments={})
        while True:
            with database.read() as db:
                query = sa.select(tables.job.c.completed).where(tables.job.c.id == submission.id)
                completed = db.execute(query).scalar_one()
            if completed is not None:
                break
            time.sleep(0.001)
        times.append((completed - began) * 1000)
    return statistics.median(times)


def waiting(database: Database, engine: Engine, count: int) -> None:
    """Let jobs wait for hosts that do not answer, and run others beside them."""
    threads, memory, before = threading.active_count(), _memory(), _latency(database)
    for number in range(count):
        with database.write() as db:
            submit(db, slow, key=f"slow:{number}", arguments={"host": number % 1000 + 100})
    while engine.in_flight < count:
        time.sleep(0.1)
    time.sleep(1)
    cpu, began = time.process_time(), time.monotonic()
    time.sleep(3)
    idle = (time.process_time() - cpu) / (time.monotonic() - began)
    report(f"jobs-waiting-{count}-threads", threading.active_count() - threads, "threads", most=0)
    report(f"jobs-waiting-{count}-memory", _memory() - memory, "MB", most=MOST_MB)
    report(f"jobs-waiting-{count}-idle-cpu", idle * 100, "%")
    meanwhile = _latency(database)
    report("jobs-quick-alone", before, "ms")
    report("jobs-quick-beside-waiting", meanwhile, "ms")
    report("jobs-quick-beside-waiting-to-alone", meanwhile / before, "ratio", most=MOST_SLOWER)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", default="")
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--waiting", type=int, default=10000)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with tempfile.TemporaryDirectory(prefix="pileus-bench-") as folder:
        database = Database(options.database or f"sqlite:///{folder}/jobs.db")
        metadata.create_all(database.engine)
        engine = Engine(database, server="bench", channel=InstantChannel(), workers=2)
        engine.start()
        throughput(database, options.jobs)
        if options.waiting:
            waiting(database, engine, options.waiting)
        engine.stop(10)
        database.close()
    finish()


if __name__ == "__main__":
    main()
