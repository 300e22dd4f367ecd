"""Whole clouds for tests, by the command line as a person would, each in a data folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PILEUS = Path(sys.executable).with_name("pileus")
FOLDERS = "pileus-e2e-"  # data folders of tests, below the folder for temporary files
UP_LIMIT = 240


def pileus(*arguments: str | Path, limit: float = 120, fails: bool = False) -> str:
    """Run `pileus` and return what it printed; its complaint is in the failure."""
    done = subprocess.run(
        [str(PILEUS), *(str(part) for part in arguments)], capture_output=True, text=True, timeout=limit, check=False
    )
    assert fails is bool(done.returncode), f"code {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stderr if fails else done.stdout


class Cloud:
    """A cloud under test."""

    def __init__(self, data: Path, *options: str) -> None:
        self.data = data
        self.port = free_ports()
        self.options = options
        self.facts: dict[str, Any] = {}

    def up(self) -> dict[str, Any]:
        """Bring it up, and return what `--json` says."""
        told = pileus("up", "--data", self.data, "--port", str(self.port), *self.options, "--json", limit=UP_LIMIT)
        self.facts = json.loads(told)
        return self.facts

    def down(self) -> None:
        """Take it down."""
        pileus("down", "--data", self.data)

    def api(self, command: str, **parameters: Any) -> dict[str, Any]:
        """Call a command and wait for its job."""
        pairs = [f"{name}={value}" for name, value in parameters.items()]
        return json.loads(pileus("api", command, *pairs, "--data", self.data, "--json"))

    def status(self) -> dict[str, Any]:
        """Return the status, whatever it is."""
        done = subprocess.run(
            [str(PILEUS), "status", "--data", str(self.data), "--json"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return json.loads(done.stdout)

    def pid(self, service: str) -> int:
        """Return the process of a service, 0 when it does not run."""
        return next((found["pid"] for found in self.status()["services"] if found["name"] == service), 0)

    def page(self, limit: float = 3) -> str:
        """Fetch the first machine's page; "" when nothing answers in time."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(self.facts["page"], timeout=limit) as answer:
                return answer.read().decode()
        except (urllib.error.URLError, OSError):
            return ""

    def logs(self) -> str:
        """Return the ends of all logs, for a failure's report."""
        files = [*self.data.glob("logs/*.log"), *self.data.glob("agent/consoles/*.log")]
        return "\n".join(f"== {file}\n{file.read_text(errors='replace')[-3000:]}" for file in files)


def free_ports() -> int:
    """Return a port that is free together with those 170 and 171 above it, which a cloud takes as well."""
    for port in range(20000 + os.getpid() % 10000, 60000, 7):
        with contextlib.ExitStack() as stack:
            try:
                for number in (port, port + 170, port + 171):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", number))
            except OSError:
                continue
            return port
    raise RuntimeError("no free ports")


def sweep() -> None:
    """Remove the clouds of earlier runs that were killed; a folder is named by the process of its run."""
    for data in Path(tempfile.gettempdir()).glob(f"{FOLDERS}*"):
        owner = data.name.removeprefix(FOLDERS).split("-")[0]
        if Path(f"/proc/{owner}").exists():
            continue
        if (data / "cloud.json").exists():
            pileus("purge", "--data", data)
        shutil.rmtree(data, ignore_errors=True)


@contextlib.contextmanager
def cloud(*options: str) -> Iterator[Cloud]:
    """Make a cloud's folder; purge the cloud at the end, whatever happened."""
    sweep()
    data = Path(tempfile.mkdtemp(prefix=f"{FOLDERS}{os.getpid()}-"))
    data.chmod(0o755)
    found = Cloud(data, *options)
    try:
        yield found
    finally:
        if (data / "cloud.json").exists():
            pileus("purge", "--data", data)
        shutil.rmtree(data, ignore_errors=True)
