"""The supervisor for machines without systemd: starts and stops the process of `pileus.client.daemon`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import msgspec

from pileus.client.daemon import LOCK, SERVICES, STATE, holder
from pileus.client.folder import Folder, FolderError, write_private
from pileus.client.supervisor import leftovers
from pileus.client.supervisor.service import Service, ServiceState, command_line

START_LIMIT = 10.0


class OwnSupervisor:
    """Controls the supervising process of one data folder."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def ensure(self, services: list[Service]) -> bool:
        """Make the supervising process run with exactly these services."""
        wanted = msgspec.json.encode(
            [
                {
                    "name": service.name,
                    "argv": command_line(service),
                    "stop_seconds": service.stop_seconds,
                    "revision": service.revision,
                }
                for service in services
            ]
        )
        self._folder.run.mkdir(parents=True, exist_ok=True)
        self._folder.logs.mkdir(parents=True, exist_ok=True)
        file = self._folder.run / SERVICES
        pid = self.pid
        if pid and file.exists() and file.read_bytes() == wanted:
            return False
        write_private(file, wanted)
        if pid:
            os.kill(pid, signal.SIGHUP)
        else:
            self._start()
        return True

    def stop(self) -> None:
        """End the supervising process; it ends the services first."""
        pid = self.pid
        if not pid:
            return
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + 60
        while self.pid == pid or leftovers.runs(pid):
            if time.monotonic() > until:
                raise FolderError(f"the supervisor {pid} of {self._folder.data} does not end; see {self._folder.logs}")
            time.sleep(0.05)

    def states(self) -> list[ServiceState]:
        """Read what the supervising process last wrote down."""
        file = self._folder.run / STATE
        if not file.exists():
            return []
        found = msgspec.json.decode(file.read_bytes(), type=list[ServiceState])
        alive = bool(self.pid)
        return [state if alive else msgspec.structs.replace(state, running=False, pid=0) for state in found]

    @property
    def pid(self) -> int:
        """Return the supervising process, 0 when there is none."""
        return holder(self._folder.run / LOCK)

    def _start(self) -> None:
        """Start the process as nobody's child, so that it outlives whoever called `up`."""
        leftovers.end(self._folder.data, services_only=True)  # of a supervisor that was killed at a bad moment
        log = self._folder.logs / "supervisor.log"
        daemon = [sys.executable, "-P", "-m", "pileus.client.daemon", "--data", str(self._folder.data)]
        with log.open("ab") as output:
            subprocess.run(
                ["setsid", "--fork", *daemon], stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/",
                timeout=START_LIMIT, check=True,
            )  # fmt: skip
        until = time.monotonic() + START_LIMIT
        while not self.pid:
            if time.monotonic() > until:
                raise FolderError(f"the supervisor does not start; see {log}")
            time.sleep(0.01)
