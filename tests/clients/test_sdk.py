"""The Python SDK (py-acs-sdk), in an environment of its own: it wants a newer Python than Pileus."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import Server

SCENARIO = Path(__file__).with_name("sdk_scenario.py")
NEWER = ("3.14", "3.13", "3.12")


def _newer_python() -> str | None:
    """Return a Python that the SDK runs with: on the path, or one of pyenv's."""
    kept = sorted(path for v in NEWER for path in Path.home().glob(f".pyenv/versions/{v}.*/bin/python{v}"))
    return next((found for v in NEWER if (found := _working(f"python{v}"))), str(kept[-1]) if kept else None)


def _working(name: str) -> str | None:
    found = shutil.which(name)
    if found is None or subprocess.run([found, "--version"], capture_output=True, timeout=20, check=False).returncode:
        return None  # pyenv's shims of versions that are not chosen
    return found


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the SDK."""
    newer = _newer_python()
    if newer is None:
        pytest.skip("py-acs-sdk needs Python 3.12 or newer, and there is none here")
    folder = tmp_path_factory.mktemp("sdk") / "venv"
    for command in (
        [newer, "-m", "venv", str(folder)],
        [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", "py-acs-sdk>=1.0.13,<2"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        if done.returncode:
            pytest.skip(f"py-acs-sdk cannot be installed here: {done.stderr[-300:]}")
    return folder / "bin" / "python"


def test_a_zone_and_a_machine_come_and_go(server: Server, python: Path):
    zone = server.zone
    done = subprocess.run(
        [
            str(python), str(SCENARIO), server.url, *server.keys,
            zone["zone"], zone["template"], zone["offering"], zone["networkoffering"],
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == {
        "zones": ["sdk", "z1"],
        "deployed": "Running",
        "stopped": "Stopped",
        "started": "Running",
        "rule": "Active",
        "left": None,
    }
