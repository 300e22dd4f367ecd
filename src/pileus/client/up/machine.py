"""The first machine."""

from __future__ import annotations

from pileus.client.api import Answer
from pileus.client.up.site import Site

NAME = "first"
OFFERING = "Tiny"
MEMORY_MIB = 128
GONE = ("Destroyed", "Expunging", "Error")


def make(site: Site) -> None:
    """Deploy the first machine, or start it when it does not run."""
    found = _find(site)
    if found is None:
        site.api.run(
            "deployVirtualMachine", name=NAME, displayname="First machine", zoneid=site.ids["zone"],
            templateid=site.ids["template"], serviceofferingid=_offering(site), networkids=site.ids["network"],
        )  # fmt: skip
    elif found.get("state") == "Stopped":
        site.api.run("startVirtualMachine", id=found["id"])
    site.machine = _find(site) or {}
    site.ids["machine"] = str(site.machine["id"])


def _find(site: Site) -> Answer | None:
    found = site.api.list("listVirtualMachines", name=NAME, zoneid=site.ids["zone"], listall=True)
    return next((item for item in found if item.get("name") == NAME and item.get("state") not in GONE), None)


def _offering(site: Site) -> str:
    """Return the smallest offering with enough memory for the built-in template; make one when all are large."""
    fitting = [
        offering
        for offering in site.api.list("listServiceOfferings")
        if MEMORY_MIB <= int(offering.get("memory") or 0) <= 2 * MEMORY_MIB
    ]
    if fitting:
        return str(min(fitting, key=lambda offering: int(offering["memory"]))["id"])
    made = site.api.run(
        "createServiceOffering", name=OFFERING, displaytext="1 CPU, 128 MiB", cpunumber=1, cpuspeed=500,
        memory=MEMORY_MIB, storagetype="local",
    )  # fmt: skip
    return str(made["id"])
