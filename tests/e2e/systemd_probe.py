"""Runs as a unit of a systemd that was booted for it: brings a real cloud up and down, and writes what it saw.

python systemd_probe.py DATA ANSWER.json
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PILEUS = Path(sys.executable).with_name("pileus")
LIMIT = 30.0


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120, check=False)


def units() -> dict[str, tuple[str, int]]:
    """Return the cloud's units by service: their state and main process."""
    found = {}
    for line in run("systemctl", "list-units", "--all", "--plain", "--no-legend", "pileus-*").stdout.splitlines():
        name = line.split()[0]
        facts = dict(
            row.split("=", 1)
            for row in run("systemctl", "show", "--property=ActiveState,MainPID", name).stdout.splitlines()
        )
        found[name.rpartition("-")[2].removesuffix(".service")] = (facts["ActiveState"], int(facts["MainPID"]))
    return found


def restarted(before: dict[str, tuple[str, int]]) -> dict[str, tuple[str, int]]:
    """Wait until every service runs in another process, or the time is over; return the units."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        now = units()
        if now.keys() == before.keys() and all(
            state == "active" and pid not in (0, before[name][1]) for name, (state, pid) in now.items()
        ):
            break
        time.sleep(0.2)
    return units()


def healthy(data: str) -> int:
    """Wait until the cloud is well, or the time is over; return the code of `pileus status`."""
    end = time.monotonic() + LIMIT
    while (code := run(PILEUS, "status", "--data", data).returncode) and time.monotonic() < end:
        time.sleep(0.5)
    return code


def main(data: str) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    up = run(PILEUS, "up", "--data", data, "--uplink", "none", "--port", "8080")
    seen["up"] = [up.returncode, up.stdout[-2000:] + up.stderr[-4000:]]
    seen["units"] = units()
    for state, pid in seen["units"].values():
        if state == "active":
            Path(f"/proc/{pid}/cmdline").read_bytes()  # it is there, and it is killed without a word:
            run("kill", "-9", str(pid))
    seen["restarted"] = restarted(seen["units"])
    seen["status"] = healthy(data)
    guests = run("pgrep", "-f", f"qemu-system.*{data}").stdout.split()
    seen["guests"] = len(guests)
    seen["down"] = run(PILEUS, "down", "--data", data).returncode
    seen["left"] = units()
    seen["files"] = [file.name for file in Path("/etc/systemd/system").glob("pileus-*")]
    return seen


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(main(sys.argv[1])))
