"""The first machine."""

from __future__ import annotations

from pileus.client.api import Answer
from pileus.client.up.site import Site

NAME = "first"
LOCAL_OFFERINGS = (  # name, MHz, MiB; the built-in template is content with the first
    ("Tiny Instance", 250, 128),
    ("Small Local Instance", 500, 512),
    ("Medium Local Instance", 1000, 1024),
)
GONE = ("Destroyed", "Expunging", "Error")


def make(site: Site) -> None:
    """Deploy the first machine, or start it when it does not run."""
    offering = _offerings(site)
    found = _find(site)
    if found is None:
        site.api.run(
            "deployVirtualMachine", name=NAME, displayname="First machine", zoneid=site.ids["zone"],
            templateid=site.ids["template"], serviceofferingid=offering, networkids=site.ids["network"],
        )  # fmt: skip
    elif found.get("state") == "Stopped":
        site.api.run("startVirtualMachine", id=found["id"])
    site.machine = _find(site) or {}
    site.ids["machine"] = str(site.machine["id"])


def wake(site: Site) -> None:
    """Start the first machine if it has turned out not to run; its host may have said so only after `make`."""
    found = _find(site)
    if found is not None and found.get("state") == "Stopped":
        site.api.run("startVirtualMachine", id=found["id"])


def _find(site: Site) -> Answer | None:
    found = site.api.list("listVirtualMachines", name=NAME, zoneid=site.ids["zone"], listall=True)
    return next((item for item in found if item.get("name") == NAME and item.get("state") not in GONE), None)


def _offerings(site: Site) -> str:
    """Make the offerings on local storage, the only one that a single host has; return the id of the smallest."""
    there = {str(offering["name"]): str(offering["id"]) for offering in site.api.list("listServiceOfferings")}
    for name, speed, memory in LOCAL_OFFERINGS:
        if name not in there:
            made = site.api.run(
                "createServiceOffering", name=name, displaytext=f"{name}: 1 CPU, {memory} MB", cpunumber=1,
                cpuspeed=speed, memory=memory, storagetype="local",
            )  # fmt: skip
            there[name] = str(made["id"])
    return there[LOCAL_OFFERINGS[0][0]]
