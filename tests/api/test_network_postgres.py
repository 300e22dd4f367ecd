"""The life of a network on PostgreSQL: the same as on SQLite."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pileus.compute import audit
from pileus.compute.tables import machine as machine_table
from pileus.core import database
from pileus.infrastructure.tables import host
from pileus.network import addresses, segments
from pileus.network.tables import network, segment_member
from tests.support.cloud import Cloud, Refused
from tests.support.waiting import until
from tests.support.zones import isolated_network, machine, simulated_zone


def together(count: int, call: Callable[[int], Any]) -> list[Any]:
    """Make calls at the same time; return their answers and refusals."""
    found: list[Any] = []

    def one(number: int) -> None:
        try:
            found.append(call(number))
        except Refused as refusal:
            found.append(refusal)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert len(found) == count
    return found


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


@pytest.mark.postgres
def test_calls_at_the_same_time_see_one_another_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    with Cloud.start(tmp_path, database=postgres_url) as cloud:
        zone = simulated_zone(cloud)
        for name in ("n1", "n2", "n3"):  # one source NAT address each, however many come at once
            id_ = isolated_network(cloud, zone, name)
            for job in together(6, lambda _, id_=id_: cloud.api("associateIpAddress", networkid=id_)):
                cloud.wait("associateIpAddress", job["jobid"])
            assert len(cloud.list("listPublicIpAddresses", associatednetworkid=id_, issourcenat=True)) == 1
        to = machine(cloud, zone, id_, "m1")["id"]
        first, second, *_ = cloud.list("listPublicIpAddresses", associatednetworkid=id_, issourcenat=False)
        for port in (80, 81, 82):
            rule = {"protocol": "tcp", "publicport": port, "privateport": port, "virtualmachineid": to}
            answers = together(
                6, lambda _, rule=rule: cloud.api("createPortForwardingRule", ipaddressid=first["id"], **rule)
            )
            assert sorted(getattr(each, "code", 0) for each in answers) == [0, *[537] * 5]
        pair = (second["id"], cloud.job("associateIpAddress", networkid=id_)["id"])
        answers = together(2, lambda n: cloud.api("enableStaticNat", ipaddressid=pair[n], virtualmachineid=to) and None)
        assert sorted(getattr(each, "code", 0) for each in answers) == [0, 431]
        common = {"zoneid": zone["zone"], "templateid": zone["template"], "serviceofferingid": zone["offering"]}
        user = cloud.user
        for job in together(4, lambda n: cloud.api("deployVirtualMachine", user, name=f"u{n}", **common)):
            cloud.wait("deployVirtualMachine", job["jobid"])
        assert len(cloud.list("listNetworks", user)) == 1, "the account's first one"

        def healthy() -> bool:
            with cloud.services.database.read() as db:
                return not audit.findings(db)

        until(healthy, 5)


@pytest.mark.postgres
def test_range_of_which_an_address_is_being_taken_stays_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    with Cloud.start(tmp_path, database=postgres_url) as cloud:
        zone = simulated_zone(cloud)
        id_ = isolated_network(cloud, zone, "n1")
        (range_,) = cloud.list("listVlanIpRanges")
        answers: list[Any] = []

        def delete() -> None:
            answers.extend(together(1, lambda _: cloud.api("deleteVlanIpRange", id=range_["id"])))

        deleting = threading.Thread(target=delete)
        with cloud.services.database.write() as db:
            of = db.execute(sa.select(network).where(network.c.uuid == id_)).one()
            taken = addresses.take(db, of.zone_id, of, network_id=of.id)
            deleting.start()
            waits = sa.text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            until(lambda: db.execute(waits).scalar_one(), 5)
        deleting.join(30)
        assert [each.code for each in answers] == [536]
        assert taken.address in answers[0].text
        assert [each["ipaddress"] for each in cloud.list("listPublicIpAddresses")] == [taken.address]


@pytest.mark.postgres
def test_host_that_leaves_a_segment_while_a_machine_comes_stays_in_it_on_postgresql(
    tmp_path: Path, postgres_url: str
) -> None:
    with Cloud.start(tmp_path, database=postgres_url) as cloud:
        zone = simulated_zone(cloud)
        id_ = isolated_network(cloud, zone, "n1")
        made = machine(cloud, zone, id_, "m1")
        with cloud.services.database.write() as db:
            (of,) = db.execute(sa.select(network.c.id).where(network.c.uuid == id_)).scalars()
            hosts = sa.select(segment_member.c.host_id)
            (to, *_) = db.execute(sa.select(host.c.id).where(host.c.id.not_in(hosts))).scalars()
            member = database.insert(db, segment_member, network_id=of, host_id=to, unsettled=False)

        def left() -> None:
            with cloud.services.database.write() as db:
                segments.SegmentConverger().applied(db, member, 0, {"bridge": ""})

        def members() -> list[int]:
            with cloud.services.database.read() as db:
                own = segment_member.c.host_id == to
                return list(db.execute(sa.select(segment_member.c.id).where(own)).scalars())

        leaving = threading.Thread(target=left)
        with cloud.services.database.write() as db:
            segments.join(db, [of], to)
            db.execute(sa.update(machine_table).where(machine_table.c.uuid == made["id"]).values(host_id=to))
            leaving.start()
            leaving.join(10)
            assert not leaving.is_alive(), "it waits for nobody"
        assert members() == [member]
        left()
        assert members() == [member], "the machine is there"
        with cloud.services.database.write() as db:
            db.execute(sa.update(machine_table).where(machine_table.c.uuid == made["id"]).values(host_id=None))
        left()
        assert members() == []
