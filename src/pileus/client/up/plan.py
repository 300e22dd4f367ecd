"""What is decided before anything runs: folder, ports, prefix, public range, user of the server."""

from __future__ import annotations

import compileall
import grp
import os
import pwd
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import msgspec

import pileus
from pileus.client.claims import Claims, package_servers, routed_networks
from pileus.client.folder import Cloud, Folder, FolderError
from pileus.core.options import AGENT_PORT_OFFSET, Options

SERVICE_USER = "pileus"


class UpOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the person asked for; None means: as before, or the default for a new cloud."""

    data: Path
    port: int | None = None
    simulator: bool | None = None
    hosts: int | None = None
    database: str | None = None
    uplink: str | None = None
    integration_port: int | None = None
    tls_port: int | None = None


def prepare(asked: UpOptions) -> tuple[Folder, Cloud]:
    """Make the folder of a new cloud or read that of an old one; apply what was asked for."""
    folder = Folder(asked.data)
    cloud = _changed(folder.load(), asked) if folder.exists else _new(folder, asked)
    if cloud.tls_port:
        _check_certificate(server_options(folder, cloud))
    make_folders(folder, cloud)
    folder.save(cloud)
    return folder, cloud


def _check_certificate(options: Options) -> None:
    for file in options.tls_files:
        if not file.exists():
            raise FolderError(f"HTTPS on port {options.tls_port} needs {file} (PEM): put it there first")


def server_options(folder: Folder, cloud: Cloud) -> Options:
    """Return what the management server is told."""
    return Options(
        data=folder.data,
        port=cloud.port,
        database=cloud.database,
        agent_port=cloud.agent_port - 1,
        integration_port=cloud.integration_port,
        tls_port=cloud.tls_port,
        simulator=cloud.simulator,
        prefix=cloud.prefix,
    )


def make_folders(folder: Folder, cloud: Cloud) -> None:
    """Make the folders, each with the owner and the mode that it must have."""
    folder.data.mkdir(parents=True, exist_ok=True)
    for private in (folder.run, folder.logs, folder.server):
        private.mkdir(exist_ok=True)
        private.chmod(0o700)
    options = server_options(folder, cloud)
    if not options.file.exists() or Options.load(folder.data) != options:
        options.save()
    for inner in (options.builtin, options.images):
        inner.mkdir(exist_ok=True)
    if cloud.user:
        give(folder.server, cloud.user)


def give(path: Path, user: str) -> None:
    """Hand a file or a folder with all in it to a user, where it is not his already."""
    entry = pwd.getpwnam(user)
    inside = path.rglob("*") if path.is_dir() else ()
    for part in (path, *inside):
        if part.lstat().st_uid != entry.pw_uid:
            os.lchown(part, entry.pw_uid, entry.pw_gid)


def _new(folder: Folder, asked: UpOptions) -> Cloud:
    simulator = bool(asked.simulator)
    root = os.geteuid() == 0
    if not simulator and not root:
        raise FolderError(
            "a real cloud needs root for networks and machines: use sudo, or --simulator for a trial without"
        )
    port = asked.port or 8080
    for number in (port,) if simulator else (port, port + AGENT_PORT_OFFSET, port + AGENT_PORT_OFFSET + 1):
        _check_free(number)
    claims = Claims()
    return Cloud(
        prefix="sim" if simulator else claims.prefix(folder.data),
        port=port,
        agent_port=port + AGENT_PORT_OFFSET + 1,
        simulator=simulator,
        hosts=asked.hosts or 3,
        database=asked.database or "",
        uplink=asked.uplink or "none",
        integration_port=asked.integration_port or 0,
        tls_port=asked.tls_port or 0,
        public="" if simulator else claims.public_range(folder.data, routed_networks() + package_servers()),
        user=service_user() if root else "",
    )


def _changed(cloud: Cloud, asked: UpOptions) -> Cloud:
    if asked.simulator is not None and asked.simulator != cloud.simulator:
        kind = "simulated" if cloud.simulator else "real"
        raise FolderError(
            f"the cloud in {asked.data} is a {kind} one and stays so; use another --data, or purge it first"
        )
    if asked.database is not None and asked.database != cloud.database:
        raise FolderError(f"the cloud in {asked.data} keeps the database that it was made with; use another --data")
    if not cloud.simulator and os.geteuid() != 0:
        raise FolderError(f"the cloud in {asked.data} is a real one: only root can bring it up")
    if asked.port and asked.port != cloud.port:
        _check_free(asked.port)
    changes = {
        name: value
        for name, value in (
            ("port", asked.port),
            ("hosts", asked.hosts),
            ("uplink", asked.uplink),
            ("integration_port", asked.integration_port),
            ("tls_port", asked.tls_port),
        )
        if value is not None
    }
    return msgspec.structs.replace(cloud, stopped=False, **changes)


def service_user() -> str:
    """Make the system user that the server runs as, where there is none yet, and return its name."""
    try:
        pwd.getpwnam(SERVICE_USER)
    except KeyError:
        program = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
        if program is None:
            raise FolderError(f"there is no user {SERVICE_USER} and no useradd to make it") from None
        command = [program, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        command += ["--shell", "/usr/sbin/nologin", SERVICE_USER]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        if done.returncode != 0:
            raise FolderError(f"the user {SERVICE_USER} cannot be made: {done.stderr.strip()}") from None
        pwd.getpwnam(SERVICE_USER)
        grp.getgrnam(SERVICE_USER)
    return SERVICE_USER


def own_code() -> list[Path]:
    """Return the files that the server's user must be able to read: the environment and this package."""
    return [Path(sys.prefix) / "pyvenv.cfg", Path(pileus.__file__)]


def compile_code() -> None:
    """Compile this package where it is not: the server's user may not write the result, and would do it each time."""
    compileall.compile_dir(Path(pileus.__file__).parent, quiet=2)


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - the server will listen there
        except OSError as error:
            raise FolderError(
                f"the port {port} is in use on this machine: choose another with --port ({error})"
            ) from error
