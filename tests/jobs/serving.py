"""A server process of the cluster tests: an engine until it is killed or its input ends."""

from __future__ import annotations

import sys

import structlog

from pileus.core.database import Database
from pileus.core.jobs import Engine
from tests.jobs import flows
from tests.jobs.world import Channel


def main() -> None:
    """Serve: arguments are the database's URL, the server's name and the seconds that an operation takes."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    url, name, delay = sys.argv[1:4]
    database = Database(url)
    channel = Channel(database)
    for kind in ("on", "off", "attach"):
        channel.delay[kind] = float(delay)
    engine = Engine(database, server=name, channel=channel, lease=2, workers=2)
    engine.start()
    sys.stdout.write(f"ready {flows.plain.__name__}\n")
    sys.stdout.flush()
    sys.stdin.read()
    engine.stop(10)
    database.close()


if __name__ == "__main__":
    main()
