"""kill -9 between any two steps: after the next start every job has ended, and all the records agree.

Every point that a call reaches is a death of its own: before and after each step's commit, of each job that it starts.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pileus.compute import audit
from pileus.compute.tables import machine
from pileus.core import plugins
from pileus.core.database import Database
from pileus.core.jobs.tables import job
from pileus.drivers.simulator.tables import sim_object
from pileus.storage.tables import volume
from tests.support import zones
from tests.support.cloud import Cloud
from tests.support.postgres import fresh_database, postgres_server

__all__ = ["postgres_server"]

pytestmark = pytest.mark.timeout(900)
ROOT = Path(__file__).parents[2]


class Dying:
    """The warm process whose children die."""

    def __init__(self, log: Path) -> None:
        self._log = log.open("w")
        command = [sys.executable, "-m", "tests.kill.dying"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )

    def run(self, data: Path, database: str, calls: list[Any], die: list[Any] | None) -> dict[str, Any] | None:
        """Run a server; return what it reached, or None when it died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"data": str(data), "database": database, "calls": calls, "die": die}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if answer is not None and "error" in answer:
            pytest.fail(f"{answer['error']}: {Path(self._log.name).read_text()[-3000:]}")
        return answer

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()
        self._log.close()


@pytest.fixture(scope="module")
def dying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dying]:
    process = Dying(tmp_path_factory.mktemp("dying") / "log")
    yield process
    process.close()


def furnish(cloud: Cloud) -> dict[str, str]:
    """Make what the scenarios start from."""
    zone = zones.simulated_zone(cloud)
    fresh, used = (zones.isolated_network(cloud, zone, name) for name in ("fresh", "used"))
    running = zones.machine(cloud, zone, used, "running")
    stopped = zones.machine(cloud, zone, used, "stopped")
    cloud.job("stopVirtualMachine", id=stopped["id"])
    return zone | {"fresh": fresh, "used": used, "running": running["id"], "stopped": stopped["id"]}


def deploy(ids: dict[str, str], network: str) -> list[Any]:
    """Return the call that deploys a machine with a data disk."""
    return [
        "deployVirtualMachine",
        {
            "name": "fresh-machine", "zoneid": ids["zone"], "templateid": ids["template"],
            "serviceofferingid": ids["offering"], "networkids": ids[network],
        },
    ]  # fmt: skip


SCENARIOS = {
    "deploy and network implement": lambda ids: [deploy(ids, "fresh")],
    "deploy": lambda ids: [deploy(ids, "used")],
    "start": lambda ids: [["startVirtualMachine", {"id": ids["stopped"]}]],
    "stop": lambda ids: [["stopVirtualMachine", {"id": ids["running"]}]],
    "destroy": lambda ids: [["destroyVirtualMachine", {"id": ids["running"], "expunge": "true"}]],
    "network restart": lambda ids: [["restartNetwork", {"id": ids["used"], "cleanup": "true"}]],
    "network delete": lambda ids: [["deleteNetwork", {"id": ids["fresh"]}]],
}


def disagreements(url: str) -> list[str]:
    """Return what is wrong after all is quiet: records against records, and records against what the hosts hold."""
    plugins.all_tables()
    database = Database(url)
    try:
        with database.read() as db:
            found = audit.findings(db)
            found += [
                f"job {row.cmd or row.workflow} is {row.state}"
                for row in db.execute(sa.select(job).where(job.c.completed.is_(None)))
            ]
            held = [(row.key, json.loads(row.value)) for row in db.execute(sa.select(sim_object))]
            on = {
                key.partition("/")[2]
                for key, value in held
                if key.startswith("machine:") and value.get("power") == "on"
            }
            run = {
                row.instance_name
                for row in db.execute(
                    sa.select(machine.c.instance_name).where(machine.c.state == "Running", machine.c.removed.is_(None))
                )
            }
            if on != run:
                found.append(f"hosts run {sorted(on)}, the records say {sorted(run)}")
            kept = {key.partition("/")[2] for key, _ in held if key.startswith("volume:")}
            known = {
                row.uuid
                for row in db.execute(
                    sa.select(volume.c.uuid).where(volume.c.removed.is_(None), volume.c.state == "Ready")
                )
            }
            if kept != known:
                found.append(f"hosts hold volumes {sorted(kept - known)} too many and lack {sorted(known - kept)}")
        return found
    finally:
        database.close()


def batched(point: list[Any]) -> bool:
    """Tell whether a point is the courier's, who takes as many answers at once as have come: their number varies."""
    return point[0].startswith("courier/")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A furnished cloud on SQLite, shut down; its folder is copied for each death."""
    folder = tmp_path_factory.mktemp("base")
    with Cloud.start(folder) as cloud:
        ids = furnish(cloud)
    return folder, ids


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_boundary_on_sqlite(name: str, base: tuple[Path, dict[str, str]], dying: Dying, tmp_path: Path) -> None:
    folder, ids = base
    calls = SCENARIOS[name](ids)
    first = shutil.copytree(folder, tmp_path / "whole")
    whole = dying.run(first, "", calls, None)
    assert whole is not None
    assert whole["quiet"]
    assert disagreements(f"sqlite:///{first}/server/pileus.db") == []
    assert whole["reached"], "the call reached no step at all"
    for number, point in enumerate(whole["reached"]):
        copy = shutil.copytree(folder, tmp_path / f"death{number}")
        died = dying.run(copy, "", calls, point) is None
        assert died or batched(point), f"{point} was not reached the second time"
        after = dying.run(copy, "", [], None)
        assert after is not None
        assert after["quiet"], f"jobs were still open after death at {point}"
        assert disagreements(f"sqlite:///{copy}/server/pileus.db") == [], f"after death at {point}"
        shutil.rmtree(copy)


@pytest.mark.postgres
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_boundary_on_postgresql(name: str, postgres_server: str, dying: Dying, tmp_path: Path) -> None:
    with fresh_database(postgres_server, "kill_base") as url:
        with Cloud.start(tmp_path / "base", database=url) as cloud:
            calls = SCENARIOS[name](furnish(cloud))
        folder = tmp_path / "base"
        reached = _deaths(postgres_server, url, folder, calls, dying, None)
        assert reached
        for point in reached:
            _deaths(postgres_server, url, folder, calls, dying, point)


def _deaths(
    server: str, base: str, folder: Path, calls: list[Any], dying: Dying, die: list[Any] | None
) -> list[list[Any]]:
    """Run the calls on a copy of the base, dying at a point or not at all; check; return what was reached."""
    with fresh_database(server, "kill_copy", template="kill_base") as url:
        first = dying.run(folder, url, calls, die)
        assert first is not None or die is not None
        assert first is None or die is None or batched(die), f"{die} was not reached the second time"
        after = dying.run(folder, url, [], None)
        assert after is not None
        assert after["quiet"], f"jobs were still open after death at {die}"
        assert disagreements(url) == [], f"after death at {die}"
        return first["reached"] if first is not None else []
