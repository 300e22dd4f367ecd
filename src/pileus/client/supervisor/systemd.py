"""Supervision by systemd: one unit a service, with the data folder in its command line."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pileus.client.daemon import rotate
from pileus.client.folder import Folder, FolderError
from pileus.client.supervisor.service import CAPABILITY, Service, ServiceState

UNITS = Path("/etc/systemd/system")
SETPRIV = "/usr/bin/setpriv"


class SystemdSupervisor:
    """Writes, starts and removes the units of one cloud."""

    def __init__(self, folder: Folder, prefix: str, units: Path = UNITS) -> None:
        self._folder = folder
        self._prefix = prefix
        self._units = units

    def ensure(self, services: list[Service]) -> bool:
        """Make exactly these services run as units."""
        self._folder.logs.mkdir(parents=True, exist_ok=True)
        wanted = {self._unit(service.name): unit_text(service, self._folder) for service in services}
        changed = [name for name, text in wanted.items() if self._read(name) != text]
        for file in self._files():
            if file.name not in wanted:
                self._remove(file)
        for name in changed:
            (self._units / name).write_text(wanted[name])
        if changed:
            systemctl("daemon-reload")
        started = False
        for name in wanted:
            rotate(self._folder.logs / f"{self._service(name)}.log")
            if name in changed or not self._show(name).running:
                systemctl("enable", name)
                systemctl("restart", name)
                started = True
        return started

    def stop(self) -> None:
        """Stop and remove the units, the last one first."""
        files = self._files()
        for file in files:
            self._remove(file)
        if files:
            systemctl("daemon-reload")

    def states(self) -> list[ServiceState]:
        """Ask systemd."""
        return [self._show(file.name) for file in reversed(self._files())]

    def _unit(self, service: str) -> str:
        return f"pileus-{self._prefix}-{service}.service"

    def _service(self, unit: str) -> str:
        return unit.removeprefix(f"pileus-{self._prefix}-").removesuffix(".service")

    def _files(self) -> list[Path]:
        """Return this cloud's unit files: the agent's comes before the server's, as it is stopped first."""
        return sorted(self._units.glob(self._unit("*")))

    def _read(self, name: str) -> str:
        file = self._units / name
        return file.read_text() if file.exists() else ""

    def _remove(self, file: Path) -> None:
        systemctl("disable", "--now", file.name)
        file.unlink(missing_ok=True)

    def _show(self, name: str) -> ServiceState:
        answer = systemctl("show", "--property=ActiveState,MainPID,NRestarts", name)
        facts = dict(line.split("=", 1) for line in answer.splitlines() if "=" in line)
        return ServiceState(
            name=self._service(name),
            running=facts.get("ActiveState") == "active",
            pid=int(facts.get("MainPID") or 0),
            restarts=int(facts.get("NRestarts") or 0),
            detail=name,
        )


def unit_text(service: Service, folder: Folder) -> str:
    """Render a unit.

    Only the main process is ended when a unit stops: guests, routers and their daemons live on while an agent is
    restarted, and are ended by ``pileus agent teardown`` alone.
    """
    lines = [
        "[Unit]",
        f"Description=Pileus {service.name} of {folder.data}",
        "After=network.target libvirtd.service",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        f"# settings {service.revision}",
        f"ExecStart={' '.join(quoted(part) for part in _argv(service))}",
        "WorkingDirectory=/",
        "Restart=always",
        "RestartSec=1",
        "KillMode=process",
        f"TimeoutStopSec={service.stop_seconds:.0f}",
        f"StandardOutput=append:{folder.logs}/{service.name}.log",
        f"StandardError=append:{folder.logs}/{service.name}.log",
    ]
    if service.user:
        capabilities = f"CAP_{CAPABILITY.upper()}" if service.reads_everything else ""
        lines += [
            f"User={service.user}",
            "NoNewPrivileges=yes",
            f"AmbientCapabilities={capabilities}",
            f"CapabilityBoundingSet={capabilities}",
        ]
    return "\n".join([*lines, "", "[Install]", "WantedBy=multi-user.target", ""])


def _argv(service: Service) -> list[str]:
    """Return what systemd executes.

    systemd gives a capability to what it starts, and has none of it itself when it looks for the program.  So it
    starts one that everybody may read, which then starts ours.
    """
    return [SETPRIV, "--no-new-privs", "--", *service.argv] if service.reads_everything else service.argv


def quoted(part: str) -> str:
    """Quote one argument of ExecStart: systemd expands % and $, and splits at blanks."""
    escaped = part.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if escaped != part or " " in part else part


def systemctl(*arguments: str) -> str:
    """Run systemctl; FolderError with its complaint when it fails."""
    done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, timeout=90, check=False)
    if done.returncode != 0:
        raise FolderError(f"systemctl {' '.join(arguments)} failed: {done.stderr.strip()}")
    return done.stdout
