"""The lists that apache/cloudstack-csbench times, on 25,000 objects each, by a root admin, a domain admin and a user.

    .venv/bin/python bench/csbench.py [--postgres] [--rounds 40] [--objects 25000] [--only listHosts,listZones]

Random pages of 500 through the whole API edge.  Prints ``name value unit bar`` lines (bar: 100 ms at the 95th
percentile) and, on SQLite, the number of statements of a page, which must not grow with it.  Callers whose role may
not call a list are left out of it.  Of csbench's calls, listVPCs, listSnapshots and listVMSnapshot wait until there
are such objects; routers, zones, pods and clusters, which grow as large, are timed beside.
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
import structlog

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.cloud import Cloud, Person
from tests.support.zones import simulated_zone

from bench._figures import finish, report
from bench.deploy import cpu_seconds
from bench.lists import database_url, rows_like
from bench.load import backends
from pileus.core import contract, plugins
from pileus.core.main import settle_collector

BAR = 100
PAGE = 500
FIRST = 1_000_000  # internal id of the first copy
CHUNK = 5_000
ROLES = {"root": "Admin", "domain-admin": "DomainAdmin", "user": "User"}

LISTS: list[tuple[str, dict[str, Any]]] = [
    ("listDomains", {}),
    ("listAccounts", {}),
    ("listVirtualMachines", {}),
    ("listVolumes", {}),
    ("listTemplates", {"templatefilter": "self"}),
    ("listNetworks", {}),
    ("listPublicIpAddresses", {}),
    ("listRouters", {}),
    ("listServiceOfferings", {}),
    ("listDiskOfferings", {}),
    ("listZones", {}),
    ("listPods", {}),
    ("listClusters", {}),
    ("listHosts", {"type": "Routing"}),
]


def named(text: str) -> Callable[[int], str]:
    """Return what makes a name of a number."""
    return lambda number: f"{text}{number}"


def address(number: int) -> str:
    """Return an address of 100.0.0.0/8 of a number."""
    return f"100.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def copied(number: int) -> int:
    """Return the internal id of the copy with this number, of any kind."""
    return FIRST + number


class Filler:
    """Copies the rows of one object of each kind, table by table."""

    def __init__(self, cloud: Cloud, count: int) -> None:
        self._database = cloud.services.database
        self._tables = plugins.all_tables().tables
        self._count = count

    def copy(self, kind: str, where: dict[str, Any], /, **changes: Any) -> None:
        """Copy the row where these columns have these values; a change may be made of the copy's number."""
        table = self._tables[kind]
        with self._database.read() as db:
            conditions = [table.c[column] == value for column, value in where.items()]
            pattern = db.execute(sa.select(table).where(*conditions).limit(1)).one()
        for first in range(0, self._count, CHUNK):
            rows = rows_like(pattern, FIRST + first, min(CHUNK, self._count - first))
            for number, row in enumerate(rows, first):
                row |= {column: make(number) if callable(make) else make for column, make in changes.items()}
            with self._database.write() as db:
                db.execute(sa.insert(table), rows)

    def everything(self, zone: dict[str, str], of: dict[str, int]) -> None:
        """Make so many of every kind; what runs on hosts does not, so that no host says otherwise."""
        self.copy(
            "domain", {"id": of["domain"]}, name=named("d"), parent_id=of["domain"], path=lambda n: f"/tests/d{n}/",
            level=2,
        )  # fmt: skip
        self.copy("account", {"name": "user"}, name=named("a"))
        self.copy("user_", {"username": "user"}, account_id=copied, username=named("a"), api_key=None, secret_key=None)
        self.copy("network", {"name": "n1"}, name=named("n"), state="Allocated", tag=None)
        self.copy("router", {}, name=named("r-"), network_id=copied, state="Stopped", host_id=None)
        self.copy(
            "machine", {}, name=named("vm"), display_name=named("vm"), instance_name=named("i-2-"), state="Stopped",
            host_id=None,
        )  # fmt: skip
        self.copy("nic", {}, machine_id=copied, mac=lambda number: f"02:{number:010x}", address=address)
        self.copy("volume", {"type": "ROOT"}, machine_id=copied, name=named("ROOT-"), path=lambda _: str(uuid.uuid4()))
        self.copy("template", {"id": of["template"]}, name=named("t"))
        self.copy("template_copy", {"template_id": of["template"]}, template_id=copied, path=named("t"))
        self.copy("public_address", {"is_source_nat": True}, address=address, network_id=copied)
        self.copy("service_offering", {"name": "Small Instance"}, name=named("s"))
        self.copy("disk_offering", {"name": "Small"}, name=named("o"))
        self.copy("zone", {"uuid": zone["zone"]}, name=named("zone-"))
        self.copy("pod", {"uuid": zone["pod"]}, name=named("p"))
        self.copy("cluster", {"uuid": zone["cluster"]}, name=named("c"))
        self.copy("host", {"uuid": zone["host"]}, name=named("h"), url=named("http://sim/c1/h"), state="Disconnected")
        with self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
            db.exec_driver_sql("ANALYZE")


def patterns(cloud: Cloud, zone: dict[str, str]) -> dict[str, int]:
    """Make one object of each kind that people own, the user's; return the internal ids that copies need."""
    owner = cloud.user
    network = cloud.api(
        "createNetwork", owner, name="n1", displaytext="n1", zoneid=zone["zone"],
        networkofferingid=zone["networkoffering"],
    )["network"]["id"]  # fmt: skip
    cloud.job(
        "deployVirtualMachine", owner, name="pattern", zoneid=zone["zone"], templateid=zone["template"],
        serviceofferingid=zone["offering"], networkids=network,
    )  # fmt: skip
    cloud.api(
        "registerTemplate", owner, name="own", displaytext="own", format="QCOW2", hypervisor="Simulator",
        url="http://images.test/own.qcow2", zoneid=zone["zone"],
    )  # fmt: skip
    until = time.monotonic() + 30
    while not any(each["isready"] for each in cloud.list("listTemplates", owner, templatefilter="self", name="own")):
        if time.monotonic() > until:
            raise TimeoutError("the template was not ready within 30 s")
        time.sleep(0.1)
    tables = plugins.all_tables().tables
    domains, templates = tables["domain"], tables["template"]
    with cloud.services.database.read() as db:
        return {
            "domain": db.execute(sa.select(domains.c.id).where(domains.c.path == "/tests/")).scalar_one(),
            "template": db.execute(sa.select(templates.c.id).where(templates.c.name == "own")).scalar_one(),
        }


class Statements:
    """Counts the selects that connections to SQLite run."""

    def __init__(self, cloud: Cloud) -> None:
        self.count = 0
        self.possible = cloud.services.database.sqlite
        if self.possible:
            sa.event.listen(cloud.services.database.engine, "checkout", self._watch)

    def _watch(self, connection: Any, *_: Any) -> None:
        connection.set_trace_callback(self._one)

    def _one(self, text: str) -> None:
        self.count += text.startswith("SELECT")

    def of(self, cloud: Cloud, caller: Person, command: str, given: dict[str, Any]) -> set[int]:
        """Return how many pages of 20 and of 500 take, the fewest of some calls: settings are read now and then."""
        found: set[int] = set()
        for size in (20, PAGE):
            fewest = sys.maxsize
            for _ in range(5):
                self.count = 0
                cloud.request(command, caller, page=2, pagesize=size, listall=True, **given)
                fewest = min(fewest, self.count)
            found.add(fewest)
        return found


def measure(cloud: Cloud, caller: Person, command: str, given: dict[str, Any], rounds: int) -> tuple[list[float], int]:
    """Ask for random pages; return the times until the answers in ms, sorted, and how many objects there are."""
    chance = random.Random(1)
    pages, total = 1, 0
    took: list[float] = []
    for number in range(rounds + 3):
        page = 1 + chance.randrange(pages)
        begun = time.perf_counter()
        answer = cloud.request(command, caller, page=page, pagesize=PAGE, listall=True, **given)
        took.append(1000 * (time.perf_counter() - begun))
        if answer.status_code != 200:
            raise RuntimeError(answer.text)
        if number == 0:
            (content,) = msgspec.json.decode(answer.content).values()
            total = content.get("count", 0)
            pages = max(1, total // PAGE)
        if number == 2:
            took.clear()  # warmed up
    return sorted(took), total


def asked(cloud: Cloud, objects: int, only: list[str]) -> Iterator[tuple[str, dict[str, Any], str, Person]]:
    """Fill the cloud; yield what is asked by whom, after printing how many statements it takes."""
    zone = simulated_zone(cloud)
    of = patterns(cloud, zone)
    people = {"root": cloud.root, "domain-admin": cloud.domain_admin, "user": cloud.user}
    begun = time.monotonic()
    Filler(cloud, objects).everything(zone, of)
    report("csbench-rows", time.monotonic() - begun, "s")
    settle_collector()  # as a server does
    counted = Statements(cloud)
    for command, given in LISTS:
        if only and command not in only:
            continue
        for who, caller in people.items():
            if ROLES[who] not in contract.load().commands[command].roles:
                continue
            if counted.possible:
                found = counted.of(cloud, caller, command, given)
                print(f"{command}-{who}-statements {'-'.join(map(str, sorted(found)))} a-page constant", flush=True)
            yield command, given, who, caller


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--objects", type=int, default=25_000)
    parser.add_argument("--only", default="", help="some of the lists, by commas")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    kind = "-postgresql" if arguments.postgres else ""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(database_url(arguments.postgres))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pileus-bench-"))
        cloud = stack.enter_context(Cloud.start(Path(folder), database=url))
        only = [name for name in arguments.only.split(",") if name]
        for command, given, who, caller in asked(cloud, arguments.objects, only):
            used = _cpu(url)
            took, total = measure(cloud, caller, command, given, arguments.rounds)
            used = 1000 * (_cpu(url) - used) / (arguments.rounds + 3)
            label = f"{command}-{who}{kind}"
            p95 = took[int(len(took) * 0.95) - 1]
            report(f"{label}-of", total, "objects")
            report(f"{label}-p50", took[len(took) // 2], "ms")
            report(f"{label}-p95", p95, "ms", most=BAR)
            report(f"{label}-cpu", used, "ms")
    finish()


def _cpu(url: str) -> float:
    """Return the CPU seconds that this process, the client in it too, and the database's processes have used."""
    return time.process_time() + sum(map(cpu_seconds, backends(url)))


if __name__ == "__main__":
    main()
