"""A cloud's data folder: what is kept where, and the few facts that were chosen when it was made."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec


class FolderError(Exception):
    """Something is wrong with the data folder; the text says what to do."""


class Cloud(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What was chosen for a cloud; kept in ``DATA/cloud.json``."""

    prefix: str  # of its links, namespaces and services on this machine
    port: int = 8080
    agent_port: int = 8251  # where the host's agent listens
    simulator: bool = False
    hosts: int = 3  # simulated ones
    database: str = ""
    uplink: str = "none"
    integration_port: int = 0
    tls_port: int = 0  # 0 = no HTTPS
    public: str = ""  # the public range; "" = none was claimed (simulator)
    user: str = ""  # the system user that the server runs as; "" = the one who started it
    stopped: bool = False  # `down` was the last command


class Folder:
    """The paths of one cloud's data folder."""

    def __init__(self, data: Path) -> None:
        self.data = data.expanduser().resolve()
        self.cloud_file = self.data / "cloud.json"
        self.admin_file = self.data / "admin.json"
        self.server = self.data / "server"
        self.agent = self.data / "agent"
        self.logs = self.data / "logs"
        self.run = self.data / "run"

    @property
    def exists(self) -> bool:
        """Tell whether a cloud was made here."""
        return self.cloud_file.exists()

    def load(self) -> Cloud:
        """Read what was chosen; FolderError when there is no cloud here."""
        if not self.exists:
            raise FolderError(f"there is no cloud in {self.data}; `pileus up --data {self.data}` makes one")
        try:
            return msgspec.json.decode(self.cloud_file.read_bytes(), type=Cloud)
        except msgspec.MsgspecError as error:
            raise FolderError(f"{self.cloud_file} cannot be read: {error}") from error

    def save(self, cloud: Cloud) -> None:
        """Write what was chosen."""
        write_private(self.cloud_file, msgspec.json.format(msgspec.json.encode(cloud)))

    def credentials(self) -> dict[str, Any]:
        """Return the first admin's url, username, password, apikey and secretkey."""
        if not self.admin_file.exists():
            raise FolderError(f"{self.admin_file} is missing: start the cloud with `pileus up --data {self.data}`")
        found: dict[str, Any] = msgspec.json.decode(self.admin_file.read_bytes())
        return found

    @contextmanager
    def locked(self) -> Generator[None]:
        """Keep other `up`, `down` and `purge` of the same cloud out; FolderError when one is at work."""
        self.data.mkdir(parents=True, exist_ok=True)
        with (self.data / "lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise FolderError(
                    f"another pileus command is at work on {self.data}; try again when it is done"
                ) from error
            yield


def write_private(file: Path, content: bytes) -> None:
    """Write a file of mode 0600, whole or not at all."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    fresh.replace(file)
