"""The two services of a cloud on one machine: how they are started, and when they are ready."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from pileus.client.api import Api, ApiFailure, Unreachable
from pileus.client.folder import Cloud, Folder, FolderError, write_private
from pileus.client.supervisor import Service, supervisor_for
from pileus.client.supervisor.service import command_line, pileus_command, reachable
from pileus.client.up.plan import compile_code, own_code, server_options

SERVER_LIMIT, AGENT_LIMIT = 60.0, 60.0
PAUSE = 0.03


def start_server(folder: Folder, cloud: Cloud) -> tuple[Api, bool]:
    """Start the management server (and an agent that is enrolled already), and return a client with the admin's keys.

    Also tells whether this is the first time, when password and keys are new to the person.
    """
    if cloud.user:
        compile_code()
    supervisor_for(folder, cloud).ensure(services(folder, cloud))
    url = f"http://127.0.0.1:{cloud.port}/client/api"
    _wait_for_server(folder, cloud, url)
    first_time = not folder.admin_file.exists()
    credentials = _credentials(folder, cloud)
    if credentials.get("url") != url or first_time:
        write_private(folder.admin_file, msgspec.json.format(msgspec.json.encode(credentials | {"url": url})))
    api = Api(url, str(credentials["apikey"]), str(credentials["secretkey"]))
    api.first_pause = PAUSE / 3  # most of these jobs take milliseconds
    return api, first_time


def start_agent(folder: Folder, cloud: Cloud) -> None:
    """Enrol this host when it is not, run its agent, and wait until it answers; nothing for a simulated cloud."""
    if cloud.simulator:
        return
    if not enrolled(folder):
        _enrol(folder, cloud)
        supervisor_for(folder, cloud).ensure(services(folder, cloud))
    until = time.monotonic() + AGENT_LIMIT
    while not _listens(cloud.agent_port):
        if time.monotonic() > until:
            raise FolderError(f"the agent does not answer on port {cloud.agent_port}; see {folder.logs}/agent.log")
        time.sleep(PAUSE)


def services(folder: Folder, cloud: Cloud) -> list[Service]:
    """Return the services that should run now: the agent only once it is enrolled."""
    found = [server_service(folder, cloud)]
    if not cloud.simulator and enrolled(folder):
        _renew_agent_settings(folder, cloud)
        argv = pileus_command("agent", "run", "--data", folder.data)
        found.append(Service(name="agent", argv=argv, revision=f"uplink {cloud.uplink}"))
    return found


def server_service(folder: Folder, cloud: Cloud) -> Service:
    """Describe the management server as a service."""
    return Service(
        name="server",
        argv=pileus_command("server", "--data", folder.data),
        revision=hashlib.sha256(msgspec.json.encode(server_options(folder, cloud), enc_hook=str)).hexdigest(),
        user=cloud.user,
        reads_everything=bool(cloud.user)
        and not all(reachable(part, cloud.user) for part in (*own_code(), folder.data)),
    )


def enrolled(folder: Folder) -> bool:
    """Tell whether this host has its certificate."""
    return (folder.agent / "keys/agent.crt").exists()


def agent_settings(folder: Folder, cloud: Cloud) -> list[str]:
    """Return the settings of this host's agent as options of its command line."""
    network, _, length = cloud.public.partition("/")
    gateway = f"{network.rsplit('.', 1)[0]}.1/{length}"
    return [
        "--data", str(folder.data), "--address", "127.0.0.1", "--port", str(cloud.agent_port),
        "--prefix", cloud.prefix, "--public", gateway, "--uplink", cloud.uplink,
    ]  # fmt: skip


def _enrol(folder: Folder, cloud: Cloud) -> None:
    server = f"https://127.0.0.1:{server_options(folder, cloud).agents_port}"
    token = folder.run / "enrol.token"  # in a file: command lines are there for all to read
    write_private(token, _token(folder, cloud).encode())
    try:
        command = pileus_command("agent", "enrol", "--server", server, "--token", f"@{token}")
        _run([*command, *agent_settings(folder, cloud)], "the host cannot be enrolled")
    finally:
        token.unlink()


def _renew_agent_settings(folder: Folder, cloud: Cloud) -> None:
    """Write a changed uplink into the settings of an agent that is enrolled already."""
    from pileus.agent.settings import Folder as AgentFolder

    agent = AgentFolder(folder.data)
    settings = agent.load()
    if settings.uplink != cloud.uplink:
        settings.uplink = cloud.uplink
        agent.save(settings)


def _token(folder: Folder, cloud: Cloud) -> str:
    """Ask the server's own program for a one-time token, with the server's rights."""
    service = server_service(folder, cloud)
    ask = msgspec.structs.replace(
        service, argv=[sys.executable, "-P", "-m", "pileus.core.main", "token", "--data", str(folder.data)]
    )
    return _run(command_line(ask), "the server gives no enrolment token").strip().splitlines()[-1]


def _run(command: list[str], failure: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, cwd="/", check=False)
    if done.returncode != 0:
        complaint = (done.stderr or done.stdout).strip()[-800:]
        raise FolderError(f"{failure} (code {done.returncode}): {complaint}")
    return done.stdout


def _wait_for_server(folder: Folder, cloud: Cloud, url: str) -> None:
    """Wait until the API answers; give up early when the server keeps dying."""
    supervisor = supervisor_for(folder, cloud)
    until = time.monotonic() + SERVER_LIMIT
    while True:
        probe = Api(url, timeout=5)
        try:
            probe.call("listCapabilities")
        except ApiFailure:
            return  # it refuses us for lack of keys: it is there
        except Unreachable:
            pass
        else:
            return
        finally:
            probe.close()
        died = next((state for state in supervisor.states() if state.name == "server" and state.restarts >= 3), None)
        if died is not None or time.monotonic() > until:
            raise FolderError(f"the server does not start; the end of {folder.logs}/server.log:\n{tail(folder)}")
        time.sleep(PAUSE)


def tail(folder: Folder, lines: int = 15) -> str:
    """Return the end of the server's log."""
    log = folder.logs / "server.log"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else "(no log)"


def _credentials(folder: Folder, cloud: Cloud) -> dict[str, Any]:
    """Return the admin's credentials; those of a new cloud are taken over from where the server left them."""
    if folder.admin_file.exists():
        return folder.credentials()
    left: Path = server_options(folder, cloud).admin_file
    until = time.monotonic() + 10
    while not left.exists():
        if time.monotonic() > until:
            raise FolderError(
                f"the server left no {left}: its database knows a cloud already whose keys are not in {folder.data}; "
                "give this cloud a database of its own"
            )
        time.sleep(PAUSE)
    found: dict[str, Any] = msgspec.json.decode(left.read_bytes())
    write_private(folder.admin_file, msgspec.json.format(msgspec.json.encode(found)))
    os.unlink(left)  # noqa: PTH108 - beside the write above: the secret moves
    return found


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
