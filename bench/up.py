"""How long `pileus up` takes to the fetched page, step by step, and what an idle cloud holds in memory; needs root.

Packages, environment and the built-in template are there already, as the bar says.  `name value unit bar`, one a line.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.clouds import Cloud, cloud

from bench._figures import finish, report
from pileus.images.builtin import cached

SETTLE_SECONDS = 10


def memory(pid: int) -> float:
    """Return a process's proportional share of memory in MiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def steps(name: str, facts: dict[str, object], most: float | None = None) -> None:
    for step in facts["steps"]:  # type: ignore[attr-defined]
        report(f"{name}.{step['title'].split(',')[0].replace(' ', '_')}", step["seconds"], "s")
    report(f"{name}.total", float(str(facts["seconds"])), "s", most=most)


def idle(found: Cloud, name: str, services: tuple[str, ...], most: float) -> None:
    time.sleep(SETTLE_SECONDS)
    report(name, sum(memory(found.pid(service)) for service in services), "MiB", most=most)


def main() -> None:
    """Measure a simulated cloud, and a real one when this is root."""
    with cloud("--simulator") as simulated:
        steps("up.simulator", simulated.up(), 5)
    if os.geteuid() != 0:
        print("up.real needs root: left out")
        finish()
    cached()
    with cloud("--uplink", "none") as real:
        steps("up.real", real.up(), 60)
        idle(real, "idle.server_and_agent", ("server", "agent"), 200)
        real.down()
        steps("up.again", real.up())
    finish()


if __name__ == "__main__":
    main()
