"""`pileus status`: services, hosts, machines and routers of a cloud at a glance."""

from __future__ import annotations

from typing import Any

from pileus.client.api import Api, ApiFailure, Unreachable
from pileus.client.folder import Folder
from pileus.client.supervisor import leftovers, supervisor_for

COUNTED: dict[str, tuple[str, dict[str, Any]]] = {
    "zones": ("listZones", {}),
    "hosts": ("listHosts", {"type": "Routing"}),
    "machines": ("listVirtualMachines", {"listall": True}),
    "routers": ("listRouters", {"listall": True}),
    "networks": ("listNetworks", {"listall": True}),
    "templates": ("listTemplates", {"templatefilter": "all"}),
}


def status(folder: Folder) -> dict[str, Any]:
    """Return how the cloud is; ``healthy`` says whether services run, the API answers and all hosts are up."""
    cloud = folder.load()
    services = supervisor_for(folder, cloud).states()
    found: dict[str, Any] = {
        "data": str(folder.data),
        "url": f"http://127.0.0.1:{cloud.port}/client/api",
        "simulator": cloud.simulator,
        "prefix": cloud.prefix,
        "stopped": cloud.stopped,
        "services": [
            {"name": state.name, "running": state.running, "pid": state.pid, "restarts": state.restarts}
            for state in services
        ],
        "processes": [{"pid": process.pid, "command": process.command} for process in leftovers.find(folder.data)],
    }
    states = _objects(folder)
    found |= states
    running = bool(services) and all(state.running for state in services)
    hosts: dict[str, int] = states.get("hosts", {})
    found["healthy"] = running and "error" not in states and set(hosts) <= {"Up"}
    return found


def as_text(found: dict[str, Any]) -> str:
    """Return the status for a person."""
    lines = [f"cloud      {found['data']} ({'simulated' if found['simulator'] else 'prefix ' + found['prefix']})"]
    lines.append(f"API        {found['url']}")
    for service in found["services"]:
        state = f"running, pid {service['pid']}" if service["running"] else "not running"
        restarts = f", restarted {service['restarts']} times" if service["restarts"] else ""
        lines.append(f"{service['name']:<10} {state}{restarts}")
    if not found["services"]:
        lines.append("services   none")
    for name in COUNTED:
        if name in found:
            counts = ", ".join(f"{count} {state}" for state, count in sorted(found[name].items()))
            lines.append(f"{name:<10} {counts or 'none'}")
    if "error" in found:
        lines.append(f"API says   {found['error']}")
    lines.append(f"health     {'good' if found['healthy'] else 'stopped' if found['stopped'] else 'NOT GOOD'}")
    return "\n".join(lines) + "\n"


def _objects(folder: Folder) -> dict[str, Any]:
    if not folder.admin_file.exists():
        return {"error": "there are no admin keys yet"}
    credentials = folder.credentials()
    api = Api(str(credentials["url"]), str(credentials["apikey"]), str(credentials["secretkey"]), timeout=10)
    found: dict[str, Any] = {}
    try:
        for name, (command, filters) in COUNTED.items():
            counts: dict[str, int] = {}
            for item in api.list(command, **filters):
                state = str(item.get("state") or item.get("allocationstate") or item.get("status") or "there")
                counts[state] = counts.get(state, 0) + 1
            found[name] = counts
    except (ApiFailure, Unreachable) as error:
        found["error"] = str(error)
    finally:
        api.close()
    return found
