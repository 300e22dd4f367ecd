"""How many reads a second a server answers: a mix of what clients ask, 1,250 hosts and 20,000 machines.

    .venv/bin/python bench/load.py [--postgres] [--seconds 15] [--clients 24] [--hosts 1250] [--machines 20000]

Real server processes (one on SQLite, two on PostgreSQL) and real HTTP by GET; requests are signed beforehand, and the
clients, who take their part of the same cores, look at no more than status and length.  Prints ``name value unit bar``
lines.  Bars: 500 requests/s, p95 0.1 s, two cores, so 4 ms of CPU a request for servers, database and clients.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import time
import uuid
from collections import defaultdict
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

if __name__ == "__main__":
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import sqlalchemy as sa
import uvloop
from tests.support.zones import isolated_network, simulated_zone
from tests.support.zones import machine as deploy

from bench._figures import finish, report
from bench.deploy import Setup, cpu_seconds, servers
from bench.lists import rows_like
from pileus.compute.tables import machine
from pileus.core import plugins, signing
from pileus.infrastructure.tables import host
from pileus.network.tables import nic
from pileus.storage.tables import volume

CHUNK = 2_000
RATE_BAR, P95_BAR, CPU_BAR = 500, 0.1, 4
SIGNED = 3_000  # different requests that are signed beforehand


def fill(url: str, machines: int, hosts: int) -> dict[str, list[str]]:
    """Copy the one machine (with NIC and volume) and the one host; return ids that clients may ask for."""
    engine = sa.create_engine(url)
    with engine.begin() as db:
        one_host = db.execute(sa.select(host).limit(1)).one()
        made = rows_like(one_host, 1_000_000, hosts)
        for number, row in enumerate(made):
            row |= {"name": f"bench-h{number}"}
        db.execute(sa.insert(host), made)
        pattern = db.execute(sa.select(machine).limit(1)).one()
        plug = db.execute(sa.select(nic).where(nic.c.machine_id == pattern.id)).one()
        disk = db.execute(sa.select(volume).where(volume.c.machine_id == pattern.id)).one()
    for first in range(0, machines, CHUNK):
        count = min(CHUNK, machines - first)
        rows, nics, disks = (rows_like(row, 1_000_000 + first, count) for row in (pattern, plug, disk))
        for number, (one, plugged, root) in enumerate(zip(rows, nics, disks, strict=True), first):
            one |= {"name": f"vm{number}", "display_name": f"vm{number}", "instance_name": f"i-2-{number}-VM"}
            # Stopped: no host says otherwise of them while the bench runs.
            one |= {"state": "Stopped", "host_id": None, "created": one["created"] - random.randrange(864_000)}
            plugged |= {"machine_id": one["id"], "mac": f"02:{number:010x}"}
            plugged |= {"address": f"10.{100 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"}
            root |= {"machine_id": one["id"], "name": f"ROOT-{number}", "path": str(uuid.uuid4())}
        with engine.begin() as db:
            for table, many in ((machine, rows), (nic, nics), (volume, disks)):
                db.execute(sa.insert(table), many)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.exec_driver_sql("ANALYZE")
        ids = {
            "machine": list(db.execute(sa.select(machine.c.uuid).limit(500)).scalars()),
            "host": list(db.execute(sa.select(host.c.uuid).limit(500)).scalars()),
        }
    engine.dispose()
    return ids


def asked(ids: dict[str, list[str]], chance: random.Random) -> tuple[str, dict[str, Any]]:
    """Return the next request of the mix."""
    page = {"page": 1 + chance.randrange(50), "pagesize": 20}
    one = chance.choice(ids["machine"])
    mix: list[tuple[int, str, dict[str, Any]]] = [
        (25, "listVirtualMachines", {"id": one}),
        (15, "listVirtualMachines", {"listall": "true", **page}),
        (10, "listVolumes", {"virtualmachineid": one, "type": "ROOT"}),
        (10, "listHosts", {"type": "Routing", **page}),
        (5, "listHosts", {"id": chance.choice(ids["host"])}),
        (10, "listNetworks", {"listall": "true"}),
        (10, "listZones", {}),
        (5, "listTemplates", {"templatefilter": "executable"}),
        (5, "listServiceOfferings", {}),
        (5, "listPublicIpAddresses", {"listall": "true"}),
    ]
    _, command, parameters = chance.choices(mix, [weight for weight, *_ in mix])[0]
    return command, parameters


class Asker(asyncio.Protocol):
    """A connection that sends one request after another and only counts the bytes of the answers."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[int] | None = None
        self._got = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request that waits."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        """Tell the status once the whole answer is there."""
        self._got += data
        head = self._got.find(b"\r\n\r\n")
        if head < 0 or self._answer is None:
            return
        length = self._got.find(b"content-length: ")
        size = int(self._got[length + 16 : self._got.find(b"\r", length)])
        if len(self._got) >= head + 4 + size and not self._answer.done():
            self._answer.set_result(int(self._got[9:12]))

    async def ask(self, request: bytes) -> None:
        """Send a request and wait for its answer; RuntimeError when it is a refusal."""
        if self._transport is None:
            raise RuntimeError("not connected")
        self._got.clear()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        if await self._answer != 200:
            raise RuntimeError(f"{request[:200]!r}: {bytes(self._got[:600])!r}")


def signed(keys: dict[str, str], ids: dict[str, list[str]], count: int) -> list[tuple[str, bytes]]:
    """Return so many requests of the mix, each with its command's name, ready to be sent."""
    chance = random.Random(1)
    made: list[tuple[str, bytes]] = []
    for _ in range(count):
        command, parameters = asked(ids, chance)
        everything = {name: str(value) for name, value in parameters.items()}
        everything |= {"command": command, "response": "json", "apiKey": keys["apikey"]}
        query = urlencode(everything | {"signature": signing.sign(everything, keys["secretkey"])})
        made.append((command, f"GET /client/api?{query} HTTP/1.1\r\nhost: bench\r\n\r\n".encode()))
    return made


async def load(
    urls: list[str], requests: list[tuple[str, bytes]], clients: int, seconds: float
) -> dict[str, list[float]]:
    """Ask for so many seconds; return the times by command."""
    took: dict[str, list[float]] = defaultdict(list)
    until = time.monotonic() + seconds
    loop = asyncio.get_running_loop()

    async def client(which: int) -> None:
        target = urlsplit(urls[which % len(urls)])
        transport, asker = await loop.create_connection(Asker, target.hostname, target.port)
        chance = random.Random(which)
        while (begun := time.monotonic()) < until:
            command, request = chance.choice(requests)
            await asker.ask(request)
            took[command].append(time.monotonic() - begun)
        transport.close()

    await asyncio.gather(*(client(which) for which in range(clients)))
    return took


def percentile(values: list[float], part: float) -> float:
    """Return the value below which a part of them lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def measure(arguments: argparse.Namespace, database: str) -> None:
    """Run the bench and print its figures."""
    kind = "postgresql" if arguments.postgres else "sqlite"
    with servers(2 if arguments.postgres else 1, database, arguments.profile) as (urls, pids, keys):
        setup = Setup(urls[0], keys["apikey"], keys["secretkey"])
        zone = simulated_zone(setup, hosts=1)  # type: ignore[arg-type]
        network = isolated_network(setup, zone, "n1")  # type: ignore[arg-type]
        deploy(setup, zone, network, "pattern")  # type: ignore[arg-type]
        ids = fill(database or sqlite_of(pids[0]), arguments.machines, arguments.hosts)
        requests = signed(keys, ids, SIGNED)
        uvloop.run(load(urls, requests, arguments.clients, 3))  # warms the server up
        processes = pids + backends(database)
        before, own = [cpu_seconds(pid) for pid in processes], time.process_time()
        took = uvloop.run(load(urls, requests, arguments.clients, arguments.seconds))
        used = [cpu_seconds(pid) - was for pid, was in zip(processes, before, strict=True)]
        own = time.process_time() - own
    everything = [seconds for many in took.values() for seconds in many]
    count = len(everything)
    report(f"load-{kind}-rate", count / arguments.seconds, "requests/s", least=RATE_BAR)
    report(f"load-{kind}-p50", percentile(everything, 0.5), "s")
    report(f"load-{kind}-p95", percentile(everything, 0.95), "s", most=P95_BAR)
    for command, many in sorted(took.items()):
        report(f"load-{kind}-{command}-p95", percentile(many, 0.95), "s")
    servers_, database_ = sum(used[: len(pids)]), sum(used[len(pids) :])
    report(f"load-{kind}-cpu-servers", 1000 * servers_ / count, "ms/request")
    report(f"load-{kind}-cpu-database", 1000 * database_ / count, "ms/request")
    report(f"load-{kind}-cpu-clients", 1000 * own / count, "ms/request")
    report(f"load-{kind}-cpu", 1000 * (servers_ + database_ + own) / count, "ms/request", most=CPU_BAR)


def backends(database: str) -> list[int]:
    """Return the processes of PostgreSQL that serve the database."""
    if not database:
        return []
    engine = sa.create_engine(database)
    with engine.connect() as db:
        statement = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        found = list(db.execute(sa.text(statement)).scalars())
    engine.dispose()
    return found


def sqlite_of(pid: int) -> str:
    """Return the URL of the database that a server of this machine has open."""
    from pathlib import Path

    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = entry.readlink()
            if target.suffix == ".db" or target.suffix == ".sqlite":
                return f"sqlite:///{target}"
    raise LookupError(f"process {pid} has no SQLite database open")


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgres", action="store_true", help="only on a private PostgreSQL, by two servers")
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--hosts", type=int, default=1_250)
    parser.add_argument("--machines", type=int, default=20_000)
    parser.add_argument("--profile", default="", help="write a profile of the server here (pstats)")
    arguments = parser.parse_args()
    plugins.load_all()
    if not arguments.postgres:
        measure(arguments, "")
        arguments.postgres = True
    from tests.support.postgres import fresh_database, private_server

    with private_server() as server, fresh_database(server, "bench_load") as database:
        measure(arguments, database)
    finish()


if __name__ == "__main__":
    main()
