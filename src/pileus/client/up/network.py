"""The guest network, the way in from the public side, and the page that proves it."""

from __future__ import annotations

import time
import urllib.error
import urllib.request

from pileus.client.api import Answer
from pileus.client.folder import FolderError
from pileus.client.up import machine
from pileus.client.up.site import Site

OFFERING = "PersistentIsolatedNetworkOfferingWithSourceNatService"
SERVICES = ("Dhcp", "Dns", "Firewall", "SourceNat", "StaticNat", "PortForwarding", "UserData")
NETWORK = "guest"
PAGE_LIMIT = 90.0
PAUSE = 0.1
LOOK = 5.0
"""Seconds between looks at a machine whose page does not answer."""


def make(site: Site) -> None:
    """Make the guest network 10.1.1.0/24 and with it, as its offering is a persistent one, its virtual router."""
    offering = _offering(site)
    found = site.ensure(
        "network", "createNetwork", NETWORK, find="listNetworks", filters={"zoneid": site.ids["zone"]},
        displaytext="Guest network", zoneid=site.ids["zone"], networkofferingid=offering["id"],
        gateway="10.1.1.1", netmask="255.255.255.0",
    )  # fmt: skip
    allowed = offering.get("egressdefaultpolicy", found.get("egressdefaultpolicy"))
    there = site.api.list("listEgressFirewallRules", networkid=site.ids["network"])
    if not allowed and not there:
        site.api.run("createEgressFirewallRule", networkid=site.ids["network"], protocol="all", cidrlist="10.1.1.0/24")


def _offering(site: Site) -> Answer:
    """Return the offering of networks that have their router from the beginning; CloudStack brings none like that."""
    providers = {
        f"serviceproviderlist[{number}].{field}": value
        for number, service in enumerate(SERVICES)
        for field, value in (("service", service), ("provider", "VirtualRouter"))
    }
    offering = site.ensure(
        "networkoffering", "createNetworkOffering", OFFERING, find="listNetworkOfferings", filters={},
        displaytext="Isolated network with source NAT, its router made with it", traffictype="GUEST",
        guestiptype="Isolated", supportedservices=",".join(SERVICES), conservemode=True, ispersistent=True, **providers,
    )  # fmt: skip
    if offering.get("state") != "Enabled":
        site.api.run("updateNetworkOffering", id=offering["id"], state="Enabled")
    return offering


def publish(site: Site) -> None:
    """Let port 80 of a public address lead to the first machine."""
    address = _address(site)
    site.ids["address"] = str(address["id"])
    if not _with_port(site.api.list("listFirewallRules", ipaddressid=address["id"]), "startport"):
        site.api.run(
            "createFirewallRule",
            ipaddressid=address["id"],
            protocol="tcp",
            startport=80,
            endport=80,
            cidrlist="0.0.0.0/0",
        )
    if not _with_port(site.api.list("listPortForwardingRules", ipaddressid=address["id"]), "publicport"):
        site.api.run(
            "createPortForwardingRule", ipaddressid=address["id"], protocol="tcp", publicport=80, privateport=80,
            virtualmachineid=site.ids["machine"], openfirewall=False,
        )  # fmt: skip
    site.page = f"http://{address['ipaddress']}/"


def fetch_page(site: Site) -> None:
    """Fetch the first machine's page through the public address."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    name = str(site.machine.get("name", ""))
    until = time.monotonic() + PAGE_LIMIT
    look = time.monotonic() + LOOK
    problem = "nothing was tried"
    while time.monotonic() < until:
        try:
            with opener.open(site.page, timeout=3) as answer:
                text = answer.read(65536).decode(errors="replace")
        except (urllib.error.URLError, OSError) as error:
            problem = str(error)
        else:
            if name in text:
                return
            problem = f"the page does not name {name!r} yet"
        if time.monotonic() > look:
            machine.wake(site)
            look = time.monotonic() + LOOK
        time.sleep(PAUSE)
    consoles = site.folder.agent / "consoles"
    raise FolderError(
        f"{site.page} did not answer within {PAGE_LIMIT:.0f} s ({problem}); see the machine's console in {consoles} "
        f"and {site.folder.logs}/agent.log"
    )


def _address(site: Site) -> Answer:
    """Return the address that forwards already, else a fresh one of the guest network that is not its source NAT."""
    found = site.api.list("listPublicIpAddresses", associatednetworkid=site.ids["network"], listall=True)
    free = [address for address in found if not address.get("issourcenat") and not address.get("isstaticnat")]
    if free:
        return free[0]
    return site.api.run("associateIpAddress", networkid=site.ids["network"], zoneid=site.ids["zone"])


def _with_port(rules: list[Answer], field: str) -> bool:
    return any(str(rule.get(field)) == "80" for rule in rules)
