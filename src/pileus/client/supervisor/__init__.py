"""Background services of a cloud: started, watched, restarted and stopped, with systemd or without.

Where systemd is the first process its units do the work; everywhere else a small process of our own does.
"""

from __future__ import annotations

from pathlib import Path

from pileus.client.folder import Cloud, Folder
from pileus.client.supervisor.own import OwnSupervisor
from pileus.client.supervisor.service import Service, ServiceState, Supervisor
from pileus.client.supervisor.systemd import SystemdSupervisor

__all__ = ["Service", "ServiceState", "Supervisor", "supervisor_for"]


def supervisor_for(folder: Folder, cloud: Cloud) -> Supervisor:
    """Return the supervisor to use: systemd for real clouds where it runs, else our own."""
    if not cloud.simulator and Path("/run/systemd/system").is_dir():
        return SystemdSupervisor(folder, cloud.prefix)
    return OwnSupervisor(folder)
