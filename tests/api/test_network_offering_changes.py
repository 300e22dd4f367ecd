"""updateNetwork networkofferingid: a network goes on under another offering, or is told why it cannot."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa

from pileus.drivers.simulator.tables import sim_object
from tests.support.cloud import Cloud, Refused
from tests.support.zones import isolated_network, machine, simulated_zone

ALL = "Dhcp,Dns,SourceNat,Firewall,StaticNat,PortForwarding,UserData"


class Site:
    """A zone with a network that has a router, and a public address."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.zone = simulated_zone(cloud)
        self.network = isolated_network(cloud, self.zone, "n1")
        self.machine = machine(cloud, self.zone, self.network, "m1")
        self.address = cloud.job("associateIpAddress", networkid=self.network)

    def offering(self, name: str, services: str = ALL, **more: Any) -> str:
        """Make a network offering."""
        made = self.cloud.api(
            "createNetworkOffering", name=name, displaytext=name, guestiptype="Isolated", traffictype="GUEST",
            supportedservices=services, enable=True, **({"conservemode": True} | more),
        )  # fmt: skip
        return made["networkoffering"]["id"]

    def change(self, offering: str, **more: Any) -> dict[str, Any]:
        """Give the network another offering."""
        return self.cloud.job("updateNetwork", id=self.network, networkofferingid=offering, **more)

    def refused(self, offering: str) -> Refused:
        """Return why the network cannot have an offering."""
        with pytest.raises(Refused) as caught:
            self.change(offering)
        (now,) = self.cloud.list("listNetworks", id=self.network)
        assert now["networkofferingid"] == self.zone["networkoffering"]
        return caught.value

    def spec(self) -> dict[str, Any]:
        """Return what the simulated host has of the network's router."""
        with self.cloud.services.database.read() as db:
            (value,) = db.execute(sa.select(sim_object.c.value).where(sim_object.c.sort == "router")).scalars()
        return json.loads(value)["spec"]


@pytest.fixture
def site(cloud: Cloud) -> Site:
    return Site(cloud)


def test_the_router_follows_the_new_offering_at_once(site: Site) -> None:
    assert site.spec()["egress_allowed"] is False
    open_ = site.offering("open", egressdefaultpolicy=True)
    changed = site.change(open_, changecidr=False, updateinsequence=False)
    assert (changed["networkofferingid"], changed["egressdefaultpolicy"]) == (open_, True)
    assert site.spec().get("egress_allowed", True) is True
    assert site.change(open_)["networkofferingid"] == open_
    (kept,) = site.cloud.list("listVirtualMachines", networkid=site.network)
    assert kept["nic"][0]["ipaddress"] == site.machine["nic"][0]["ipaddress"]


def test_what_is_in_use_is_not_taken_away(site: Site) -> None:
    site.cloud.job(
        "createPortForwardingRule", ipaddressid=site.address["id"], virtualmachineid=site.machine["id"],
        protocol="tcp", publicport=80, privateport=80,
    )  # fmt: skip
    poor = site.offering("poor", "Dhcp,Dns,SourceNat,UserData")
    refusal = site.refused(poor)
    assert refusal.code == 536
    assert "Firewall, PortForwarding" in refusal.text
    (rule,) = site.cloud.list("listPortForwardingRules", networkid=site.network)
    site.cloud.job("deletePortForwardingRule", id=rule["id"])
    site.cloud.job("createEgressFirewallRule", networkid=site.network, protocol="tcp")
    turned = site.refused(site.offering("turned", egressdefaultpolicy=True))
    assert turned.code == 536
    assert "egressdefaultpolicy" in turned.text
    (egress,) = site.cloud.list("listEgressFirewallRules", networkid=site.network)
    site.cloud.job("deleteEgressFirewallRule", id=egress["id"])
    assert site.change(poor)["networkofferingid"] == poor


def test_a_network_stays_what_it_is(site: Site) -> None:
    other = site.refused(site.offering("other", specifyvlan=True))
    assert other.code == 431
    assert "specifyvlan" in other.text
    assert "SourceNat" in site.refused(site.offering("bare", "Dhcp,Dns,UserData")).text
    disabled = site.offering("disabled")
    site.cloud.api("updateNetworkOffering", id=disabled, state="Disabled")
    assert "Enabled" in site.refused(disabled).text
    with pytest.raises(Refused) as caught:
        site.cloud.job("updateNetwork", site.cloud.user, id=site.network, networkofferingid=disabled)
    assert caught.value.code == 531
