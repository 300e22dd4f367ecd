"""`pileus down` and `pileus purge`: stop all of a cloud, and remove it for good."""

from __future__ import annotations

import os
import shutil
import subprocess

import msgspec

from pileus.client.claims import Claims
from pileus.client.folder import Cloud, Folder, FolderError
from pileus.client.progress import Steps
from pileus.client.supervisor import leftovers, supervisor_for
from pileus.client.supervisor.service import pileus_command
from pileus.client.up.services import enrolled

TEARDOWN_LIMIT = 120


def take_down(folder: Folder, steps: Steps) -> None:
    """Stop the services, the machines and the routers; the records and what they need to come back stay."""
    cloud = folder.load()
    _check_rights(folder, cloud)
    with steps.step("services stopped"):
        supervisor_for(folder, cloud).stop()
    if not cloud.simulator and enrolled(folder):
        with steps.step("machines shut down, routers and bridges removed"):
            _teardown(folder)
    left = leftovers.end(folder.data)
    if left:
        named = ", ".join(f"{process.pid} ({process.command[:80]})" for process in left)
        with steps.step(f"processes ended that were left over: {named}"):
            pass
    folder.save(msgspec.structs.replace(cloud, stopped=True))


def purge(folder: Folder, steps: Steps) -> None:
    """Take the cloud down and remove its data folder and its claims."""
    if not folder.exists:
        if folder.data.exists() and any(folder.data.iterdir()):
            raise FolderError(
                f"{folder.data} holds no cloud.json, so it is not a data folder of Pileus: nothing was removed"
            )
        return
    take_down(folder, steps)
    with steps.step(f"{folder.data} removed"):
        Claims().release(folder.data)
        shutil.rmtree(folder.data)


def _teardown(folder: Folder) -> None:
    command = pileus_command("agent", "teardown", "--data", folder.data)
    log = folder.logs / "agent.log"
    with log.open("ab") as output:
        try:
            code = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                check=False,
                timeout=TEARDOWN_LIMIT,
            ).returncode
        except subprocess.TimeoutExpired as error:
            raise FolderError(f"the teardown did not end within {TEARDOWN_LIMIT} s; see {log}") from error
    if code != 0:
        raise FolderError(f"the teardown of machines and routers failed with code {code}; see {log}, then try again")


def _check_rights(folder: Folder, cloud: Cloud) -> None:
    if os.geteuid() != 0 and folder.cloud_file.stat().st_uid != os.geteuid():
        raise FolderError(f"the cloud in {folder.data} belongs to another user")
    if os.geteuid() != 0 and not cloud.simulator:
        raise FolderError(f"the cloud in {folder.data} is a real one: only root can take it down")
