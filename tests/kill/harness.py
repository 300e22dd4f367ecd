"""What the kill tests share: the process whose children die, what a cloud starts from, and the check afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
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

ROOT = Path(__file__).parents[2]


class Dying:
    """The warm process whose children die."""

    def __init__(self, log: Path) -> None:
        self._log = log.open("w")
        command = [sys.executable, "-m", "tests.kill.dying"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )

    def run(
        self, data: Path, database: str, calls: list[Any], die: list[Any] | None, *, work: bool = True
    ) -> dict[str, Any] | None:
        """Run a server; return what it reached, or None when it died; without ``work`` it only takes the calls."""
        self.start(data, database, calls, die, work=work)
        return self.result()

    def start(self, data: Path, database: str, calls: list[Any], die: list[Any] | None, *, work: bool = True) -> None:
        """Begin to run a server."""
        assert self._process.stdin is not None
        request = {"data": str(data), "database": database, "calls": calls, "die": die, "work": work}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()

    def result(self) -> dict[str, Any] | None:
        """Wait for the server that was begun."""
        assert self._process.stdout is not None
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


def furnish(cloud: Cloud) -> dict[str, str]:
    """Make what the scenarios start from."""
    zone = zones.simulated_zone(cloud)
    fresh, used = (zones.isolated_network(cloud, zone, name) for name in ("fresh", "used"))
    running = zones.machine(cloud, zone, used, "running")
    stopped = zones.machine(cloud, zone, used, "stopped")
    cloud.job("stopVirtualMachine", id=stopped["id"])
    offering = cloud.api(
        "createServiceOffering", name="v", displaytext="v", cpunumber=1, cpuspeed=500, memory=128, isvolatile=True
    )["serviceoffering"]["id"]
    volatile = zones.machine(cloud, zone | {"offering": offering}, used, "volatile")
    made = {"fresh": fresh, "used": used, "running": running["id"], "stopped": stopped["id"], "small": offering}
    return zone | made | {"volatile": volatile["id"]}


def deploy(ids: dict[str, str], network: str) -> list[Any]:
    """Return the call that deploys a machine with a data disk."""
    return [
        "deployVirtualMachine",
        {
            "name": "fresh-machine", "zoneid": ids["zone"], "templateid": ids["template"],
            "serviceofferingid": ids["offering"], "networkids": ids[network],
        },
    ]  # fmt: skip


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
