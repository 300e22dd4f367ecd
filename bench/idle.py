"""What an idle cloud holds in memory, process by process: `name value unit bar`, one a line; needs root.

Argument: the data folder of a running cloud; without one a cloud is made for it, with one machine and its router.
A process's share is its PSS: what it has alone, and its part of what it shares with others.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.clouds import cloud

from bench._figures import finish, report
from pileus.images.builtin import cached

SETTLE_SECONDS = 20
CPU_SECONDS = 10.0
PROCESSES = {  # name -> words that its command line has, beside the data folder
    "server": ("pileus.client.main", "server"),
    "agent": ("pileus.client.main", "agent", "run"),
    "metadata": ("pileus.agent.metadata_server",),
    "libvirtd": ("libvirtd",),
    "dnsmasq": ("dnsmasq",),
    "guests": ("qemu-system",),
}
PRODUCT = ("server", "agent")


def find(data: Path) -> dict[str, list[int]]:
    """Return the processes of a cloud by name; supervisors are none of them."""
    found: dict[str, list[int]] = {name: [] for name in PROCESSES}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if not any(str(data) in word for word in words):
            continue
        for name, marks in PROCESSES.items():
            if all(any(word == mark or Path(word).name.startswith(mark) for word in words) for mark in marks):
                found[name].append(int(entry.name))
    return found


def memory(pid: int) -> float:
    """Return a process's share of memory in MiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def ticks(pid: int) -> int:
    """Return the CPU time of a process in clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def measure(data: Path) -> None:
    found = find(data)
    for name in PRODUCT:
        if not found[name]:
            raise SystemExit(f"no {name} of a cloud in {data} is running")
    before = {pid: ticks(pid) for name in PRODUCT for pid in found[name]}
    time.sleep(CPU_SECONDS)
    share = sum(ticks(pid) - before[pid] for pid in before) / os.sysconf("SC_CLK_TCK") / CPU_SECONDS
    held = {name: sum(memory(pid) for pid in pids) for name, pids in found.items()}
    for name, amount in held.items():
        report(f"idle.{name}", amount, "MiB")
    report("idle.server_and_agent", sum(held[name] for name in PRODUCT), "MiB", most=200)
    report("idle.server_and_agent_cpu", share * 100, "%")


def main() -> None:
    """Measure the cloud that is named, or one of our own."""
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]).resolve())
        finish()
    if os.geteuid() != 0:
        print("idle needs root: left out")
        return
    cached()
    with cloud("--uplink", "none") as made:
        made.up()
        time.sleep(SETTLE_SECONDS)
        measure(made.data)
    finish()


if __name__ == "__main__":
    main()
