"""CloudMonkey, the command line of the CloudStack project, where Go can build it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import Server

MODULE = "github.com/apache/cloudstack-cloudmonkey@latest"


@pytest.fixture(scope="module")
def cmk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built by Go."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("there is no Go here to build CloudMonkey with")
    folder = tmp_path_factory.mktemp("cmk")
    environment = os.environ | {"GOBIN": str(folder), "GOFLAGS": "-mod=mod"}
    done = subprocess.run(
        [go, "install", MODULE], capture_output=True, text=True, timeout=240, check=False, env=environment
    )
    if done.returncode:
        pytest.skip(f"go install {MODULE} did not work here: {done.stderr.strip()[:200]}")
    return folder / "cloudstack-cloudmonkey"


def test_it_learns_the_commands_and_lists_zones(cmk: Path, server: Server, tmp_path: Path):
    key, secret = server.keys

    def run(*words: str) -> str:
        return subprocess.run(
            [str(cmk), "-c", str(tmp_path / "config"), *words],
            capture_output=True, text=True, timeout=60, check=True, env=os.environ | {"HOME": str(tmp_path)},
        ).stdout  # fmt: skip

    for name, value in (("url", server.url), ("apikey", key), ("secretkey", secret), ("output", "json")):
        run("set", name, value)
    run("sync")
    assert json.loads(run("list", "zones"))["zone"][0]["name"] == "z1"
