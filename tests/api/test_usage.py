"""What usage will be billed by: recorded once for each change, with what it was."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from pileus.compute import audit
from pileus.core.tables import usage_event
from tests.support.cloud import Cloud
from tests.support.zones import isolated_network, machine, simulated_zone


def recorded(cloud: Cloud, after: int = 0) -> list[Any]:
    with cloud.services.database.read() as db:
        assert audit.findings(db) == []
        return list(db.execute(sa.select(usage_event).where(usage_event.c.id > after).order_by(usage_event.c.id)).all())


def test_the_life_of_a_machine_is_recorded_once(cloud: Cloud):
    zone, user = simulated_zone(cloud), cloud.user
    assert [each.type for each in recorded(cloud)] == ["TEMPLATE.CREATE"]
    network = isolated_network(cloud, zone, "n1", **user.own)
    made = machine(cloud, zone, network, "m1", **user.own)
    rows = recorded(cloud, 1)
    assert sorted(each.type for each in rows) == [
        "NET.IPASSIGN", "NETWORK.OFFERING.ASSIGN", "VM.CREATE", "VM.START", "VOLUME.CREATE",
    ]  # fmt: skip
    created = next(each for each in rows if each.type == "VM.CREATE")
    assert (created.resource_uuid, created.name, created.kind) == (made["id"], "m1", "Simulator")
    disk = next(each for each in rows if each.type == "VOLUME.CREATE")
    assert disk.size == 8 << 30
    assert len({each.account_id for each in rows}) == len({each.zone_id for each in rows}) == 1
    for command, types in (
        ("stopVirtualMachine", ["VM.STOP"]),
        ("startVirtualMachine", ["VM.START"]),
        ("rebootVirtualMachine", []),
        ("destroyVirtualMachine", ["VM.STOP", "VM.DESTROY"]),
    ):
        last = recorded(cloud)[-1].id
        cloud.job(command, id=made["id"])
        assert [each.type for each in recorded(cloud, last)] == types
    last = recorded(cloud)[-1].id
    cloud.api("recoverVirtualMachine", id=made["id"])
    cloud.job("destroyVirtualMachine", id=made["id"], expunge=True)
    cloud.job("deleteNetwork", id=network)
    cloud.job("deleteTemplate", id=zone["template"], forced=True)
    assert [each.type for each in recorded(cloud, last)] == [
        "VM.CREATE", "VM.DESTROY", "VOLUME.DELETE", "NETWORK.OFFERING.REMOVE", "NET.IPRELEASE", "TEMPLATE.DELETE",
    ]  # fmt: skip


def test_a_refused_or_failed_deployment_leaves_nothing_to_bill(cloud: Cloud):
    zone, user = simulated_zone(cloud, hosts=1), cloud.user
    network = isolated_network(cloud, zone, "n1", **user.own)
    cloud.api("updateResourceLimit", resourcetype=0, max=0, **user.own)
    last = recorded(cloud)[-1].id
    order = {
        "zoneid": zone["zone"], "templateid": zone["template"], "serviceofferingid": zone["offering"],
        "networkids": network, **user.own,
    }  # fmt: skip
    assert cloud.request("deployVirtualMachine", cloud.root, **order).status_code == 535
    assert recorded(cloud, last) == []
    cloud.api("updateResourceLimit", resourcetype=0, max=5, **user.own)
    big = cloud.api(
        "createServiceOffering", name="huge", displaytext="huge", cpunumber=40, cpuspeed=1000, memory=40960
    )["serviceoffering"]["id"]  # fmt: skip
    answer = cloud.api("deployVirtualMachine", **(order | {"serviceofferingid": big}), hostid=zone["host"])
    while cloud.api("queryAsyncJobResult", jobid=answer["jobid"])["jobstatus"] == 0:
        pass
    shown = cloud.list("listVirtualMachines", id=answer["id"], listall=True)[0]
    types = [each.type for each in recorded(cloud, last) if each.type.startswith("VM.")]
    assert types == (["VM.CREATE", "VM.DESTROY"] if shown["state"] == "Error" else ["VM.CREATE", "VM.START"])
