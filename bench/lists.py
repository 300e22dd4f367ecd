"""How fast machines are listed: pages of 500 out of 25,000 and of 20 out of 1,000,000, through the whole API edge.

    .venv/bin/python bench/lists.py [--postgres] [--rounds 60] [--small 25000] [--large 1000000]

Prints ``name value unit bar`` lines.  Bars (p95): 100 ms for 500 of 25,000 with NICs; 10 ms for 20 of 1,000,000.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import random
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.cloud import Cloud
from tests.support.zones import isolated_network, simulated_zone
from tests.support.zones import machine as deploy

from bench._figures import finish, report
from pileus.compute.tables import machine
from pileus.core import database
from pileus.core.main import settle_collector
from pileus.network.tables import network, nic

CHUNK = 5_000


def rows_like(row: Any, first: int, count: int) -> list[dict[str, Any]]:
    """Return copies of a row with ids of their own."""
    common = {key: value for key, value in row._mapping.items() if key not in ("id", "uuid")}
    return [common | {"id": first + n, "uuid": str(uuid.uuid4())} for n in range(count)]


def fill(cloud: Cloud, pattern: int, have: int, want: int) -> None:
    """Copy a machine and its NIC until there are as many as wanted, spread over some days of creation."""
    store = cloud.services.database
    with store.read() as db:
        like = database.one(db, machine, pattern)
        plug = db.execute(sa.select(nic).where(nic.c.machine_id == pattern)).one()
        of = database.one(db, network, plug.network_id)
    while have < want:
        count = min(CHUNK, want - have)
        machines = rows_like(like, 1_000_000 + have, count)
        nics = rows_like(plug, 1_000_000 + have, count)
        for number, (made, plugged) in enumerate(zip(machines, nics, strict=True), have):
            made |= {"name": f"vm{number}", "display_name": f"machine {number}", "instance_name": f"i-2-{number}-VM"}
            made |= {"created": made["created"] - random.randrange(864_000)}
            plugged |= {"machine_id": made["id"], "network_id": of.id, "mac": f"02:{number:010x}"}
            plugged |= {"address": f"100.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"}
        with store.write() as db:
            db.execute(sa.insert(machine), machines)
            db.execute(sa.insert(nic), nics)
        have += count
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.exec_driver_sql("ANALYZE")


def measure(cloud: Cloud, label: str, bar: float, rounds: int, pages: int, **parameters: Any) -> None:
    """Ask for random pages and print the 95th percentile of the time until the answer is there, in ms."""
    chance = random.Random(1)
    took: list[float] = []
    used = 0.0
    for number in range(rounds + 5):
        page = 1 + chance.randrange(pages)
        begun = time.perf_counter()
        answer = cloud.request("listVirtualMachines", cloud.root, page=page, listall=True, **parameters)
        took.append(1000 * (time.perf_counter() - begun))
        if answer.status_code != 200:
            raise RuntimeError(answer.text)
        if number == 4:
            took.clear()  # warmed up
            used = time.process_time()
    used = 1000 * (time.process_time() - used) / len(took)
    took.sort()
    report(f"{label}-p50", took[len(took) // 2], "ms")
    report(f"{label}-p95", took[int(len(took) * 0.95) - 1], "ms", most=bar)
    report(f"{label}-cpu", used, "ms")  # client included: what it would take with a core to itself


@contextlib.contextmanager
def database_url(postgres: bool) -> Iterator[str]:
    """Yield the URL of an empty PostgreSQL database, or "" for SQLite."""
    if not postgres:
        yield ""
        return
    from tests.support.postgres import fresh_database, private_server

    with private_server() as server, fresh_database(server, "bench_lists") as url:
        yield url


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--small", type=int, default=25_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    kind = "-postgresql" if arguments.postgres else ""
    with (
        database_url(arguments.postgres) as url,
        tempfile.TemporaryDirectory(prefix="pileus-bench-") as folder,
        Cloud.start(Path(folder), database=url) as cloud,
    ):
        zone = simulated_zone(cloud)
        made = deploy(cloud, zone, isolated_network(cloud, zone, "n1"), "pattern")
        with cloud.services.database.read() as db:
            pattern = db.execute(sa.select(machine.c.id).where(machine.c.uuid == made["id"])).scalar_one()
        fill(cloud, pattern, 1, arguments.small)
        settle_collector()  # as a server does
        measure(
            cloud, f"list-500-of-{arguments.small}{kind}", 100, arguments.rounds, arguments.small // 500, pagesize=500
        )
        measure(cloud, f"list-20-of-{arguments.small}{kind}", 10, arguments.rounds, arguments.small // 20, pagesize=20)
        fill(cloud, pattern, arguments.small, arguments.large)
        measure(cloud, f"list-20-of-{arguments.large}{kind}", 10, arguments.rounds, 50, pagesize=20)
        measure(cloud, f"list-20-of-{arguments.large}-anywhere{kind}", 10, 20, arguments.large // 20, pagesize=20)
    finish()


if __name__ == "__main__":
    main()
