"""An agent process and the management's channel to it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pileus.core import pki
from pileus.core.channel import Address
from pileus.wire.operations import Operation
from tests.support.management import ManagementServer, free_port


class AgentProcess:
    """The process of `operations`, which may be killed and started again."""

    def __init__(self, management: ManagementServer, folder: Path) -> None:
        self.host = str(uuid.uuid4())
        self.data = folder
        self.keys = folder / "keys"
        self.keys.mkdir(parents=True)
        csr = pki.new_request(self.keys / "agent.key")
        (self.keys / "agent.crt").write_text(management.authority.sign_host(csr, self.host, "127.0.0.1"))
        (self.keys / "ca.crt").write_text(management.authority.pem)
        self.port = free_port()
        self.address = Address(self.host, f"https://127.0.0.1:{self.port}")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.agent.channel.operations"]
        command += [str(self.keys), str(self.data), str(self.port)]
        self.process = subprocess.Popen(command)

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None

    def effects(self) -> list[str]:
        file = self.data / "effects"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def management(tmp_path: Path) -> ManagementServer:
    (tmp_path / "management").mkdir()
    return ManagementServer(tmp_path / "management")


@pytest.fixture
def agent(management: ManagementServer, tmp_path: Path) -> Iterator[AgentProcess]:
    agent = AgentProcess(management, tmp_path / "agent")
    agent.start()
    yield agent
    agent.end()


def op(kind: str = "test.work", *, key: str = "a", fence: int = 1, seconds: float = 20, **args: Any) -> Operation:
    """Make an operation with an id of its own."""
    return Operation(
        id=f"{uuid.uuid4()}/step 1/ä",
        kind=kind,
        object=f"thing:{key}",
        fence=fence,
        deadline=time.time() + seconds,
        arguments=args,
    )
