"""The life of a network on PostgreSQL: the same as on SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest

from pileus.compute import audit
from tests.support.cloud import Cloud
from tests.support.waiting import until
from tests.support.zones import isolated_network, simulated_zone


@pytest.mark.postgres
def test_life_of_networks_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    with Cloud.start(tmp_path, database=postgres_url) as cloud:
        zone = simulated_zone(cloud)
        networks = [isolated_network(cloud, zone, f"n{n}") for n in range(3)]
        parameters = {"zoneid": zone["zone"], "templateid": zone["template"], "serviceofferingid": zone["offering"]}
        jobs = [
            cloud.api("deployVirtualMachine", name=f"m{n}", networkids=networks[n % 3], **parameters)["jobid"]
            for n in range(9)
        ]
        machines = [cloud.wait("deployVirtualMachine", each) for each in jobs]
        assert {each["vlan"] for each in cloud.list("listNetworks")} == {"1000", "1001", "1002"}
        assert len({each["nic"][0]["macaddress"] for each in machines}) == 9
        jobs = [cloud.api("associateIpAddress", networkid=networks[n % 3])["jobid"] for n in range(9)]
        addresses = [cloud.wait("associateIpAddress", each) for each in jobs]
        assert len({each["ipaddress"] for each in addresses}) == 9
        jobs = [
            cloud.api("createFirewallRule", ipaddressid=addresses[0]["id"], protocol="tcp", startport=port)["jobid"]
            for port in range(1, 21)
        ]
        assert {cloud.wait("createFirewallRule", each)["state"] for each in jobs} == {"Active"}
        own = next(each for each in machines if each["nic"][0]["networkid"] == addresses[1]["associatednetworkid"])
        cloud.api("enableStaticNat", ipaddressid=addresses[1]["id"], virtualmachineid=own["id"])
        cloud.job("restartNetwork", id=networks[0], cleanup=True)
        cloud.job("disassociateIpAddress", id=addresses[0]["id"])
        for each in machines:
            cloud.job("destroyVirtualMachine", id=each["id"], expunge=True)
        for each in networks:
            cloud.job("deleteNetwork", id=each)

        def healthy() -> bool:
            with cloud.services.database.read() as db:
                return not audit.findings(db)

        until(healthy, 5)
        assert cloud.list("listPublicIpAddresses", listall=True) == []
