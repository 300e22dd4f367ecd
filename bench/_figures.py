"""Figures as every bench prints them: ``name value unit bar``, one a line, after a line about the machine.

A bar is the most (``<=``) or the least (``>=``) that the figure may be; a bench ends with ``finish``, which names those
that missed theirs.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from pathlib import Path

_missed: list[str] = []
_told: list[bool] = []


def report(name: str, value: float, unit: str, *, most: float | None = None, least: float | None = None) -> None:
    """Print a figure beside its bar, if it has one."""
    if not _told:
        _told.append(True)
        print(machine(), flush=True)
    bar = "-" if most is least is None else f"<={most:g}" if most is not None else f">={least:g}"
    line = f"{name} {value:.4g} {unit} {bar}"
    print(line, flush=True)
    if (most is not None and value > most) or (least is not None and value < least):
        _missed.append(line)


def machine() -> str:
    """Return a line about this machine; its speed of the moment too, since that of shared ones varies by the hour."""
    model = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = [int(line.split()[1]) / 2**20 for line in _lines("/proc/meminfo") if line.startswith("MemTotal:")]
    begun = time.process_time()
    sum(number * number for number in range(2_000_000))
    pace = 1000 * (time.process_time() - begun)
    return (
        f"machine: {os.cpu_count()} cores of {model[0] if model else platform.machine()}, "
        f"{memory[0] if memory else 0:.1f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; two million squares take {pace:.0f} ms"
    )


def finish() -> None:
    """End the bench: with 1, naming them, when figures missed their bars."""
    for line in _missed:
        print(f"MISSED: {line}", flush=True)
    sys.exit(1 if _missed else 0)


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.exists() else []
