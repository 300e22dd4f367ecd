"""A server that dies when told: it runs in forked children of one warm process, so that a death costs little.

Reads one JSON request a line and answers one a line.  Request: ``data`` (folder), ``database`` (URL, "" = SQLite in the
folder), ``calls`` ([command, parameters] in order, each waited for), ``die`` ([point, occurrence] or null), ``work``
(false: only submit the calls, run no job).  Answer: the list of [point, occurrence] that were reached, or null when the
child died.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog

from pileus.core import assembly, plugins
from pileus.core.dispatch import dispatch
from pileus.core.hostchannel import HostChannel
from pileus.core.jobs.tables import job
from pileus.core.options import Options
from pileus.core.services import Services
from pileus.drivers.simulator import SimulatorChannel
from pileus.identity import callers, store

LIMIT = 30.0
LEASE = 1.0
GRACE = 0.5
"""Seconds for a thread to come from its last commit, which ends the last job, to the point after it."""


def quiet(services: Services) -> bool:
    """Wait until no job is open; tell whether that came about."""
    end = time.monotonic() + LIMIT
    open_jobs = sa.select(sa.func.count()).select_from(job).where(job.c.completed.is_(None))
    while time.monotonic() < end:
        with services.database.read() as db:
            if not db.execute(open_jobs).scalar_one():
                return True
        time.sleep(0.005)
    return False


def live(request: dict[str, Any], out: int) -> None:
    """Be a server until all is done, or until death."""
    options = Options(data=Path(request["data"]), database=request["database"], simulator=True)
    services = assembly.open_services(options, migrate=lambda _database: None)
    reached: Counter[str] = Counter()
    order: list[list[Any]] = []

    def probe(point: str) -> None:
        reached[point] += 1
        order.append([point, reached[point]])
        if request["die"] == order[-1]:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(LIMIT)

    if not request["work"]:
        _submit(services, request["calls"])
        os.write(out, json.dumps({"reached": [], "quiet": False}).encode())
        os._exit(0)
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    channel = HostChannel(services.database, simulator=SimulatorChannel(services.database))
    engine = assembly.make_engine(services, channel, loop=loop, workers=2, lease=LEASE, probe=probe)
    engine.start()
    ended = quiet(services)
    for call in request["calls"]:
        _submit(services, [call])
        ended = quiet(services)
    if request["die"]:
        time.sleep(GRACE)
    os.write(out, json.dumps({"reached": order, "quiet": ended}).encode())
    os._exit(0)


def _submit(services: Services, calls: list[Any]) -> None:
    """Call the commands as the first admin."""
    with services.database.read() as db:
        admin = callers.find(db, store.ADMIN_USER)
    if admin is None:
        raise RuntimeError("the cloud has no admin")
    for command, parameters in calls:
        answer = dispatch(services, admin, command, {k.lower(): str(v) for k, v in parameters.items()})
        if answer.status != 200:
            raise RuntimeError(f"{command}: {answer.body}")


def main() -> None:
    """Answer requests until there are no more."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    plugins.load_all()
    for line in sys.stdin:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            try:
                live(json.loads(line), writer)
            finally:
                os._exit(1)
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            answer = stream.read()
        _, status = os.waitpid(pid, 0)
        died = os.WIFSIGNALED(status)
        if not died and os.WEXITSTATUS(status) != 0:
            print(json.dumps({"error": "the server failed; its log has the cause"}), flush=True)  # noqa: T201
        else:
            print(json.dumps(json.loads(answer) if answer else None), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
