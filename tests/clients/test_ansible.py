"""The Ansible collection ngine_io.cloudstack: a zone from nothing, everything that is used in one, and back."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.conftest import Server

PLAYBOOK = Path(__file__).parent / "ansible" / "zone.yml"


def test_a_zone_comes_is_used_and_goes(server: Server, tmp_path: Path):
    pytest.importorskip("ansible", reason="Ansible is in the dependency group clients")
    python = Path(sys.executable)
    done = subprocess.run(
        [
            str(python.with_name("ansible-playbook")), "-i", "localhost,",
            "-e", f"ansible_python_interpreter={python}", str(PLAYBOOK),
        ],
        capture_output=True, text=True, timeout=280, check=False,
        env=os.environ | server.environment | {"ANSIBLE_LOCALHOST_WARNING": "False", "ANSIBLE_NOCOLOR": "1",
             "ANSIBLE_LOCAL_TEMP": str(tmp_path), "ANSIBLE_HOME": str(tmp_path), "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (summary,) = re.findall(r"^localhost .*", done.stdout, re.MULTILINE)
    assert "failed=0" in summary
    assert server.cloud.list("listZones", name="az") == []
    assert server.cloud.list("listVirtualMachines", name="avm", listall=True) == []
