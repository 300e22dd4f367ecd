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

from pileus.images.builtin import cached

SETTLE_SECONDS = 10


def report(name: str, value: float, unit: str, bar: str = "-") -> None:
    print(f"{name} {value:.3g} {unit} {bar}", flush=True)


def memory(pid: int) -> float:
    """Return a process's proportional share of memory in MiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def steps(name: str, facts: dict[str, object], bar: str) -> None:
    for step in facts["steps"]:  # type: ignore[attr-defined]
        report(f"{name}.{step['title'].split(',')[0].replace(' ', '_')}", step["seconds"], "s")
    report(f"{name}.total", float(str(facts["seconds"])), "s", bar)


def idle(found: Cloud, name: str, services: tuple[str, ...], bar: str) -> None:
    time.sleep(SETTLE_SECONDS)
    report(name, sum(memory(found.pid(service)) for service in services), "MiB", bar)


def main() -> None:
    """Measure a simulated cloud, and a real one when this is root."""
    with cloud("--simulator") as simulated:
        steps("up.simulator", simulated.up(), "<=5")
    if os.geteuid() != 0:
        print("up.real needs root: left out")
        return
    cached()
    with cloud("--uplink", "none") as real:
        steps("up.real", real.up(), "<=60")
        idle(real, "idle.server_and_agent", ("server", "agent"), "<=200")
        real.down()
        steps("up.again", real.up(), "-")


if __name__ == "__main__":
    main()
