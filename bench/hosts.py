"""What 10,000 simulated hosts cost one server: `name value unit bar`, one a line.

    .venv/bin/python bench/hosts.py [--hosts 10000]

Adding them by addHost, the CPU that the server uses while nothing happens (bar: half a core), and how long after a
restart of the server all of them are Up (bar: 10 s), with how many were seen in Alert meanwhile (bar: none).
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.zones import simulated_zone

from bench._figures import finish, report
from bench.deploy import Setup, cpu_seconds, free_port, serve, wait_for
from pileus.core.options import Options

IDLE_SECONDS = 20.0
BAR_CORES, BAR_SECONDS = 0.5, 10.0
_STOP_SECONDS = 30


class Server:
    """A server process in a folder, on one port through its restarts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._process: Any = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        spawn = multiprocessing.get_context("spawn")
        self._process = spawn.Process(target=serve, args=(str(self._folder), self._port, "", ""), daemon=True)
        self._process.start()
        wait_for(self._port)

    def stop(self) -> None:
        """Stop it, hard when it takes too long."""
        if self._process is None:
            return
        os.kill(self._process.pid, signal.SIGTERM)
        self._process.join(_STOP_SECONDS)
        if self._process.is_alive():
            self._process.kill()
        self._process = None

    def cpu(self) -> float:
        """Return the CPU seconds that it has used."""
        return cpu_seconds(self._process.pid)

    def client(self) -> Setup:
        """Return a client with the admin's keys."""
        known = json.loads(Options(data=self._folder).admin_file.read_bytes())
        return Setup(f"http://127.0.0.1:{self._port}", known["apikey"], known["secretkey"])


def count(client: Setup, state: str) -> int:
    """Return how many hosts are in a state."""
    return client.api("listHosts", type="Routing", state=state, page=1, pagesize=1).get("count", 0)


def measure(server: Server, hosts: int) -> None:
    """Print the figures."""
    server.start()
    client = server.client()
    zone = simulated_zone(client, hosts=1)  # type: ignore[arg-type]
    begun = time.monotonic()
    for number in range(1, hosts):
        client.api(
            "addHost", zoneid=zone["zone"], podid=zone["pod"], clusterid=zone["cluster"], hypervisor="Simulator",
            url=f"http://sim/c0/h{number}",
        )  # fmt: skip
    report(f"hosts-{hosts}-add", (time.monotonic() - begun) / hosts * 1000, "ms/host")
    time.sleep(2)
    used, begun = server.cpu(), time.monotonic()
    time.sleep(IDLE_SECONDS)
    cores = (server.cpu() - used) / (time.monotonic() - begun)
    report(f"hosts-{hosts}-idle", cores, "cores", most=BAR_CORES)
    server.stop()
    begun = time.monotonic()
    server.start()
    client, alert, up, seconds = server.client(), 0, 0, math.inf
    while time.monotonic() - begun < 3 * BAR_SECONDS:
        alert = max(alert, count(client, "Alert"))
        if up < hosts:
            up = count(client, "Up")
            if up == hosts:
                seconds = time.monotonic() - begun
        time.sleep(0.5)
    report(f"hosts-{hosts}-up-after-restart", seconds, "s", most=BAR_SECONDS)
    report(f"hosts-{hosts}-in-alert", alert, "hosts", most=0)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pileus-bench-") as folder:
        server = Server(Path(folder) / "data")
        try:
            measure(server, arguments.hosts)
        finally:
            server.stop()
    finish()


if __name__ == "__main__":
    main()
