"""A process that dies when told: it runs engines in forked children, so that a death costs milliseconds.

Reads one JSON request a line, answers one a line.  Request: url, server, and either flow and arguments (submit it) or
nothing (take up what is there); ``die``: [point, occurrence] at which the child kills itself.  Answer: the points it
reached, or null when it died.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from typing import Any

import sqlalchemy as sa
import structlog

from pileus.core.database import Database
from pileus.core.jobs import Engine, tables
from pileus.wire.operations import Failure
from tests.jobs import flows
from tests.jobs.world import Channel, start


def run(request: dict[str, Any], out: int) -> None:
    """Run an engine until no job is open, or until death."""
    database = Database(request["url"])
    channel = Channel(database)
    for host, kind in request.get("failing", []):
        channel.failing[host, kind] = Failure(code="full", message="The host is full", retryable=True)
    reached: Counter[str] = Counter()
    order: list[list[Any]] = []
    die = request.get("die")

    def probe(point: str) -> None:
        reached[point] += 1
        order.append([point, reached[point]])
        if die == [point, reached[point]]:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(10)

    if "flow" in request:
        start(database, getattr(flows, request["flow"]), key="crash", **request["arguments"])
    engine = Engine(database, server=request["server"], channel=channel, lease=1, probe=probe)
    engine.start()
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with database.read() as db:
            count = sa.select(sa.func.count()).select_from(tables.job).where(tables.job.c.completed.is_(None))
            if not db.execute(count).scalar_one():
                break
        time.sleep(0.005)
    if die is not None and not die[0].startswith("courier"):
        time.sleep(5)  # the last point lies after the commit that the loop above has seen
    elif die is None and "flow" in request:
        time.sleep(0.1)
    os.write(out, json.dumps(order).encode())
    os._exit(0)


def main() -> None:
    """Serve requests until the input ends."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    for line in sys.stdin:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            run(json.loads(line), writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(child, 0)
        sys.stdout.write((answer.decode() or "null") + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
