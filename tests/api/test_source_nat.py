"""updateNetwork sourcenatipaddress: machines go out by another of the network's addresses."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from pileus.compute import audit
from pileus.core.tables import usage_event
from tests.api.test_network_options import held
from tests.support.cloud import Cloud, Refused
from tests.support.zones import isolated_network, machine, simulated_zone


def addresses(cloud: Cloud, network: str) -> dict[str, bool]:
    """Return whether each of a network's addresses is its source NAT address, by the API; the router has to agree."""
    told = cloud.list("listPublicIpAddresses", associatednetworkid=network, listall=True)
    shown = {each["ipaddress"]: each["issourcenat"] for each in told}
    (router,) = held(cloud, "router")
    assert {each["address"]: each.get("source_nat", False) for each in router["public_addresses"]} == shown
    return shown


def test_the_addresses_change_places(cloud: Cloud) -> None:
    zone, user = simulated_zone(cloud), cloud.user
    network = isolated_network(cloud, zone, "n1", **user.own)
    made = machine(cloud, zone, network, "m1", **user.own)
    other = cloud.job("associateIpAddress", user, networkid=network)
    [first] = [each for each in addresses(cloud, network) if each != other["ipaddress"]]
    cloud.job(
        "createPortForwardingRule", user, ipaddressid=other["id"], virtualmachineid=made["id"],
        protocol="tcp", publicport=80, privateport=80,
    )  # fmt: skip
    with cloud.services.database.read() as db:
        last = db.execute(sa.select(sa.func.max(usage_event.c.id))).scalar_one()

    cloud.job("updateNetwork", user, id=network, sourcenatipaddress=other["ipaddress"])
    assert addresses(cloud, network) == {first: False, other["ipaddress"]: True}
    (router,) = cloud.list("listRouters", networkid=network, listall=True)
    assert router["publicip"] == other["ipaddress"]
    with cloud.services.database.read() as db:
        new = db.execute(sa.select(usage_event).where(usage_event.c.id > last).order_by(usage_event.c.id)).all()
        assert audit.findings(db) == []
    assert [(each.type, each.name, each.kind) for each in new] == [
        ("NET.IPRELEASE", first, "SourceNat"), ("NET.IPRELEASE", other["ipaddress"], None),
        ("NET.IPASSIGN", first, None), ("NET.IPASSIGN", other["ipaddress"], "SourceNat"),
    ]  # fmt: skip

    cloud.job("updateNetwork", user, id=network, sourcenatipaddress=other["ipaddress"])
    assert addresses(cloud, network) == {first: False, other["ipaddress"]: True}, "the same again"
    (released,) = cloud.list("listPublicIpAddresses", user, ipaddress=first)
    cloud.job("disassociateIpAddress", user, id=released["id"])
    assert addresses(cloud, network) == {other["ipaddress"]: True}


def test_addresses_that_cannot_be_it(cloud: Cloud) -> None:
    zone = simulated_zone(cloud)
    network = isolated_network(cloud, zone, "n1")
    made = machine(cloud, zone, network, "m1")
    elsewhere = cloud.job("associateIpAddress", networkid=isolated_network(cloud, zone, "n2"))
    mapped = cloud.job("associateIpAddress", networkid=network)
    cloud.api("enableStaticNat", ipaddressid=mapped["id"], virtualmachineid=made["id"])
    before = addresses(cloud, network)
    for wrong, named in (
        (elsewhere["ipaddress"], "associateIpAddress"),
        ("203.0.113.300", "sourcenatipaddress"),
        (mapped["ipaddress"], "disableStaticNat"),
    ):
        with pytest.raises(Refused, match=named) as caught:
            cloud.job("updateNetwork", id=network, name="renamed", sourcenatipaddress=wrong)
        assert caught.value.code == 431
    assert addresses(cloud, network) == before
    assert cloud.list("listNetworks", id=network)[0]["name"] == "n1", "nothing was changed"


def test_an_offering_that_keeps_it_for_source_nat_alone(cloud: Cloud) -> None:
    zone = simulated_zone(cloud)
    strict: dict[str, Any] = cloud.api(
        "createNetworkOffering", name="strict", displaytext="strict", guestiptype="Isolated", traffictype="GUEST",
        supportedservices="Dhcp,Dns,SourceNat,Firewall,PortForwarding", conservemode=False, enable=True,
    )["networkoffering"]  # fmt: skip
    network = cloud.api(
        "createNetwork", name="n1", displaytext="n1", zoneid=zone["zone"], networkofferingid=strict["id"]
    )["network"]["id"]
    made = machine(cloud, zone, network, "m1")
    other = cloud.job("associateIpAddress", networkid=network)
    rule = cloud.job(
        "createPortForwardingRule", ipaddressid=other["id"], virtualmachineid=made["id"], protocol="tcp",
        publicport=80, privateport=80,
    )  # fmt: skip
    with pytest.raises(Refused, match="conservemode=false"):
        cloud.job("updateNetwork", id=network, sourcenatipaddress=other["ipaddress"])
    cloud.job("deletePortForwardingRule", id=rule["id"])
    cloud.job("updateNetwork", id=network, sourcenatipaddress=other["ipaddress"])
    assert addresses(cloud, network)[other["ipaddress"]] is True
