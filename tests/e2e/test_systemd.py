"""A real cloud under a real systemd, booted in a container of this machine's own files; changes stay in memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.root, pytest.mark.timeout(400)]

PROJECT = Path(__file__).resolve().parents[2]
DATA = "/var/lib/pileus-cloud"
UNIT = """
[Unit]
Wants=basic.target
After=basic.target
[Service]
Type=oneshot
TimeoutStartSec=240
WorkingDirectory=/
ExecStart={python} -P {probe} {data} /answer/answer.json
ExecStopPost=/bin/systemctl poweroff --no-block
"""
# In a mount namespace of its own, so that nothing is left mounted whatever happens: this machine's files below a folder
# in memory, and systemd as the first process of a container with no network but its own loopback.
BOOT = """
set -eu
mount -t tmpfs tmpfs "$1"
mkdir "$1/changes" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/changes,workdir=$1/work" "$1/root"
mkdir -p "$1/root/etc/systemd/system" "$1/root/answer"
cp "$2/probe.service" "$1/root/etc/systemd/system/"
exec systemd-nspawn --quiet --directory="$1/root" --private-network --register=no --keep-unit \\
    --bind-ro="$3" --bind="$2:/answer" --boot systemd.firstboot=no systemd.unit=probe.service
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the probe saw inside."""
    if shutil.which("systemd-nspawn") is None:
        pytest.skip("systemd-nspawn is not installed")
    root, answer = tmp_path_factory.mktemp("root"), tmp_path_factory.mktemp("answer")
    probe = Path(__file__).with_name("systemd_probe.py")
    (answer / "probe.service").write_text(UNIT.format(python=sys.executable, probe=probe, data=DATA))
    booted = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", BOOT, "boot", root, answer, PROJECT],
        env=os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    told = answer / "answer.json"
    if not told.exists():
        said = booted.stdout + booted.stderr
        assert "Welcome to" not in said, f"systemd came up, the probe did not end:\n{said[-3000:]}"
        pytest.skip(f"no systemd can be booted in a container here: {said.strip()[-300:]}")
    return json.loads(told.read_text())


def test_up_ends_with_a_machine_that_answers(seen: dict[str, Any]) -> None:
    code, said = seen["up"]
    assert code == 0, said
    assert "http://" in said


def test_server_and_agent_are_units(seen: dict[str, Any]) -> None:
    assert {name: state for name, (state, _) in seen["units"].items()} == {"server": "active", "agent": "active"}


def test_what_is_killed_comes_back_and_guests_live_on(seen: dict[str, Any]) -> None:
    assert {name: state for name, (state, _) in seen["restarted"].items()} == {"server": "active", "agent": "active"}
    for name, (_, pid) in seen["restarted"].items():
        assert pid != seen["units"][name][1]
    assert seen["guests"] == 1
    assert seen["status"] == 0


def test_down_leaves_no_unit(seen: dict[str, Any]) -> None:
    assert seen["down"] == 0
    assert seen["left"] == {}
    assert seen["files"] == []
