"""Primary storage: pretended for simulated hosts, directories of real ones; filters and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from pileus.core import database
from pileus.core.channel import Address
from pileus.drivers import storage
from pileus.drivers.storage.base import StorageError
from pileus.infrastructure import reports
from pileus.infrastructure.tables import agent
from pileus.storage.tables import storage_pool, volume
from pileus.wire.hosts import HostFacts, Report
from pileus.wire.operations import Answer, Failure, Operation
from pileus.wire.storage import Pool, PoolState
from tests.api.test_hosts import place
from tests.api.test_zones import refused
from tests.support.cloud import Cloud


class Directories:
    """The road to an agent that only knows how to attach directories, with the agent's own storage driver."""

    async def deliver(self, host: Address, operation: Operation) -> Answer:
        pool = msgspec.convert(operation.arguments, Pool)
        try:
            state = storage.driver(pool.kind).attach(pool)
        except (StorageError, OSError) as error:
            failure = Failure(code="storage", message=f"the directory cannot be used: {error}")
            return Answer(id=operation.id, state="failed", failure=failure)
        return Answer(id=operation.id, state="done", result=msgspec.to_builtins(state))

    async def abort(self, host: Address, operation_id: str) -> None:
        pass


def real_host(cloud: Cloud) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the place and the host of an enrolled agent."""
    cloud.channel._agents = Directories()
    at = place(cloud, "KVM")
    facts = HostFacts(
        uuid=database.new_uuid(),
        name="real",
        hypervisor="KVM",
        hypervisor_version="7.2",
        accelerator="tcg",
        cpus=4,
        cpu_mhz=2000,
        cpu_model="a CPU",
        memory_mib=8192,
    )
    with cloud.services.database.write() as db:
        database.insert(
            db,
            agent,
            uuid=facts.uuid,
            address="127.0.0.1",
            port=8251,
            serial="1",
            facts=msgspec.to_builtins(facts),
            created=database.now(),
        )
    return at, cloud.list("addHost", url="https://127.0.0.1:8251", **at)[0]


def test_simulated_pools_of_every_scope(cloud: Cloud) -> None:
    at = place(cloud)
    host = cloud.list("addHost", url="http://sim/c0/h0", **at)[0]
    zone, where = {"zoneid": at["zoneid"]}, {k: at[k] for k in ("zoneid", "podid", "clusterid")}
    wide = cloud.api(
        "createStoragePool", name="wide", url="nfs://192.0.2.9/a", scope="zone", hypervisor="Simulator", **zone
    )["storagepool"]
    assert (wide["scope"], wide["type"], wide["state"]) == ("ZONE", "NetworkFilesystem", "Up")
    assert (wide["ipaddress"], wide["path"], wide["disksizetotal"]) == ("192.0.2.9", "/a", 2**50)
    assert wide["overprovisionfactor"] == "2.0"
    near = cloud.api("createStoragePool", name="near", url="nfs://192.0.2.9/b", tags="ssd", **where)["storagepool"]
    assert (near["scope"], near["clusterid"], near["tags"]) == ("CLUSTER", at["clusterid"], "ssd")
    own = cloud.api("createStoragePool", name="own", url="file:///c", scope="host", capacitybytes=10**12, **where)
    assert own["storagepool"]["disksizetotal"] == 10**12
    other = cloud.list("addHost", url="http://sim/c0/h1", **at)[0]
    names = {pool["name"] for pool in cloud.list("listStoragePools", hostid=host["id"])}
    assert names == {"wide", "near", "own"}
    assert {pool["name"] for pool in cloud.list("listStoragePools", hostid=other["id"])} == {"wide", "near"}
    assert [pool["name"] for pool in cloud.list("listStoragePools", scope="CLUSTER")] == ["near"]
    assert "host" in refused(cloud, "createStoragePool", name="x", url="file:///c", scope="host", **where).text
    assert "storage pool (own)" in refused(cloud, "deleteHost", id=host["id"]).text


def test_directory_is_made_by_its_host(cloud: Cloud, tmp_path: Path) -> None:
    at, host = real_host(cloud)
    folder = tmp_path / "pool"
    made = cloud.api(
        "createStoragePool", name="local", url=f"file://{host['id']}{folder}", scope="HOST", zoneid=at["zoneid"]
    )["storagepool"]
    assert (made["state"], made["type"], made["path"]) == ("Up", "Filesystem", str(folder))
    assert made["disksizetotal"] > 0
    assert folder.is_dir()
    error = refused(cloud, "createStoragePool", name="again", url=f"file://real{folder}", zoneid=at["zoneid"])
    assert "local already" in error.text
    with cloud.services.database.read() as db:
        row = db.execute(sa.select(storage_pool)).one()
    assert row.kind == "directory"


def test_directory_that_the_host_cannot_use_leaves_no_pool(cloud: Cloud, tmp_path: Path) -> None:
    at, _ = real_host(cloud)
    (tmp_path / "file").write_text("not a folder")
    given = {"name": "local", "zoneid": at["zoneid"], "clusterid": at["clusterid"]}
    error = refused(cloud, "createStoragePool", url=f"file://{tmp_path}/file/pool", **given)
    assert error.code == 530
    assert "cannot be used" in error.text
    assert cloud.list("listStoragePools") == []
    made = cloud.api("createStoragePool", url=f"file://{tmp_path}/good", **given)["storagepool"]
    assert made["state"] == "Up"


@pytest.mark.parametrize(
    ("url", "scope", "named"),
    [
        ("nfs://192.0.2.9/a", "ZONE", "nfs"),
        ("file://real/", "HOST", "url"),
        ("file://real/a/../b", "HOST", "url"),
        ("file://nobody/a", "HOST", "nobody"),
        ("no url", "HOST", "url"),
        ("file://real/a", "CLUSTER", "scope"),
        ("file://real/a", "GALAXY", "scope"),
    ],
)
def test_pool_refusals(cloud: Cloud, url: str, scope: str, named: str) -> None:
    at, _ = real_host(cloud)
    given = {"zoneid": at["zoneid"], "clusterid": at["clusterid"]}
    error = refused(cloud, "createStoragePool", name="x", url=url, scope=scope, **given)
    assert error.code == 431
    assert named in error.text


def test_pool_with_volumes_stays(cloud: Cloud) -> None:
    at = place(cloud)
    pool = cloud.api(
        "createStoragePool", name="wide", url="nfs://x/a", scope="zone", hypervisor="Simulator", zoneid=at["zoneid"]
    )["storagepool"]
    with cloud.services.database.write() as db:
        row = db.execute(sa.select(storage_pool)).one()
        one = database.insert(
            db,
            volume,
            uuid=database.new_uuid(),
            name="precious",
            account_id=2,
            domain_id=1,
            zone_id=row.zone_id,
            pool_id=row.id,
            type="DATADISK",
            size=1,
            state="Ready",
            created=database.now(),
        )
    error = refused(cloud, "deleteStoragePool", id=pool["id"])
    assert error.code == 536
    assert "precious" in error.text
    with cloud.services.database.write() as db:
        database.change(db, volume, one, removed=database.now())
    assert cloud.api("deleteStoragePool", id=pool["id"]) == {"success": True}


def test_reports_keep_the_sizes_true(cloud: Cloud) -> None:
    at = place(cloud)
    host = cloud.list("addHost", url="http://sim/c0/h0", **at)[0]
    pool = cloud.api("createStoragePool", name="own", url="file:///c", zoneid=at["zoneid"], clusterid=at["clusterid"])
    state = PoolState(uuid=pool["storagepool"]["id"], capacity=10**12, used=5 * 10**11)
    reports.write(cloud.services, [Report(host=host["id"], sequence=1, boot="b", pools=[state])])
    found = cloud.list("listStoragePools")[0]
    assert (found["disksizetotal"], found["disksizeused"]) == (10**12, 5 * 10**11)


def test_simulated_storage_is_of_a_kind_that_there_is(cloud: Cloud) -> None:
    zone = {"zoneid": place(cloud)["zoneid"], "hypervisor": "Simulator", "scope": "ZONE"}
    assert "foo" in refused(cloud, "createStoragePool", name="x", url="foo://192.0.2.9/a", **zone).text
    made = cloud.api("createStoragePool", name="shared", url="SharedMountPoint://192.0.2.9/mnt", **zone)
    assert made["storagepool"]["type"] == "SharedMountPoint"


def test_image_stores_are_told_as_they_were_added(cloud: Cloud) -> None:
    zone = place(cloud)["zoneid"]
    made = cloud.api("addImageStore", name="s1", provider="nfs", zoneid=zone, url="nfs://192.0.2.9/s1")["imagestore"]
    assert (made["protocol"], made["providername"], made["scope"]) == ("nfs", "NFS", "ZONE")
    assert [one["name"] for one in cloud.list("listImageStores", protocol="NFS", provider="NFS")] == ["s1"]
    assert cloud.list("listImageStores", protocol="file") == []
    unknown = refused(cloud, "addImageStore", name="s2", provider="Floppy", zoneid=zone, url="nfs://192.0.2.9/s2")
    assert unknown.code == 431
    assert "Floppy" in unknown.text
