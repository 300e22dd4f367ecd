"""A private PostgreSQL for tests: own folder, own port on loopback, own unprivileged process, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

FOLDERS = "pileus-test-postgres-"
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "deadlock_timeout": "200ms",
}


def binaries() -> Path | None:
    """Return the folder of the newest PostgreSQL programs that Debian's packages have installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    return found[-1].parent if found else None


def _user() -> dict[str, Any]:
    """Return the arguments that make a process run as an unprivileged user, since PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise RuntimeError("no unprivileged user to run PostgreSQL as")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def sweep() -> None:
    """End the servers of earlier runs that were killed; a folder is named by the process of its run."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDERS}*"):
        if Path(f"/proc/{folder.name.removeprefix(FOLDERS).split('-')[0]}").exists():
            continue
        with suppress(FileNotFoundError, ValueError, ProcessLookupError):
            os.kill(int((folder / "data/postmaster.pid").read_text().splitlines()[0]), signal.SIGQUIT)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def private_server() -> Iterator[str]:
    """Run a server; yield the URL of its first database, without the database's name."""
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{FOLDERS}{os.getpid()}-"))
    account = _user()
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(folder)}
    if account:
        os.chown(folder, account["user"], account["group"])
    process: subprocess.Popen[bytes] | None = None
    try:
        data = folder / "data"
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "pileus", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            capture_output=True,
            timeout=60,
            cwd=folder,
            env=environment,
            **account,
        )
        port = _free_port()
        options = [f"--{name}={value}" for name, value in {**SETTINGS, "port": str(port)}.items()]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [programs / "postgres", "-D", data, *options],
                stdout=log,
                stderr=log,
                cwd=folder,
                env=environment,
                **account,
            )
        url = f"postgresql://pileus@127.0.0.1:{port}"
        _wait(process, url, folder / "log")
        yield url.replace("postgresql://", "postgresql+psycopg://")
    finally:
        if process is not None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    import time

    end = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(f"{url}/postgres", connect_timeout=5).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the private PostgreSQL did not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.05)
        else:
            return


@contextmanager
def fresh_database(server: str, name: str, template: str = "template1") -> Iterator[str]:
    """Create a database on the server, empty or a copy of another; yield its URL; drop it."""
    admin = server.replace("+psycopg", "") + "/postgres"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        yield f"{server}/{name}"
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A private PostgreSQL for the whole session."""
    with private_server() as url:
        yield url
