"""What `pileus up` says at the end: to people, or as one JSON object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pileus.client.progress import Step
from pileus.client.up.site import Site


@dataclass(kw_only=True)
class Outcome:
    """What there is after `up`."""

    site: Site
    first_time: bool
    steps: list[Step]

    def as_object(self, seconds: float) -> dict[str, Any]:
        """Return everything that a program needs to go on."""
        site = self.site
        credentials = site.folder.credentials()
        named = {
            "networkid": "network", "templateid": "template", "virtualmachineid": "machine", "publicipid": "address",
            "podid": "pod", "clusterid": "cluster", "hostid": "host", "physicalnetworkid": "physicalnetwork",
        }  # fmt: skip
        found = {field: site.ids[subject] for field, subject in named.items() if subject in site.ids}
        if self.first_time:
            found["password"] = credentials["password"]
        return found | {
            "url": credentials["url"],
            "username": credentials["username"],
            "apikey": credentials["apikey"],
            "secretkey": credentials["secretkey"],
            "zoneid": site.ids["zone"],
            "page": site.page or None,
            "console": self._console() or None,
            "data": str(site.folder.data),
            "simulator": site.cloud.simulator,
            "seconds": round(seconds, 2),
            "steps": [{"title": step.title, "seconds": step.seconds} for step in self.steps],
        }

    def as_text(self, seconds: float) -> str:
        """Return the same for a person; password and keys only the first time."""
        site = self.site
        data = site.folder.data
        credentials = site.folder.credentials()
        lines = ["", f"The cloud in {data} is up ({seconds:.1f} s).", "", f"  API        {credentials['url']}"]
        if self.first_time:
            lines += [
                f"  user       {credentials['username']}",
                f"  password   {credentials['password']}",
                f"  API key    {credentials['apikey']}",
                f"  secret key {credentials['secretkey']}",
                f"             (shown this once; kept in {site.folder.admin_file}, which only its owner can read)",
            ]
        if site.page:
            lines.append(f"  page       {site.page}")
        if self._console():
            lines.append(f"  console    {self._console()}")
        examples = ["listHosts", f"listVirtualMachines zoneid={site.ids['zone']}", "listRouters listall=true"]
        if site.cloud.simulator:
            examples[2] = "listServiceOfferings"
        lines += ["", "Try:", *(f"  .venv/bin/pileus api --data {data} {example}" for example in examples), ""]
        return "\n".join(lines)

    def _console(self) -> str:
        name = self.site.machine.get("instancename")
        return str(self.site.folder.agent / "consoles" / f"{name}.log") if name else ""
