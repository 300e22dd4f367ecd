"""The audit: does every derived or reserved figure agree with the records it stands for?

A healthy cloud answers an empty list at any quiet moment, also after any number of crashes.  Used by the tests and by
`pileus audit`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.compute import audit_usage
from pileus.compute.tables import machine
from pileus.core.jobs.tables import job
from pileus.identity.limits import counting
from pileus.infrastructure.tables import host, segment_tag
from pileus.network.tables import network, nic, public_address, router, rule
from pileus.storage.tables import storage_pool, volume

HOLDING = ("Starting", "Running", "Stopping", "Migrating")
"""States in which a machine holds its host's CPU and memory."""

_TRANSIENT: tuple[tuple[sa.Table, tuple[str, ...]], ...] = (
    (machine, ("Starting", "Stopping", "Migrating", "Expunging", "Restoring")),
    (router, ("Starting", "Stopping", "Migrating", "Expunging")),
    (network, ("Implementing", "Shutdown")),
    (volume, ("Creating", "Expunging", "Resizing", "Attaching", "Copying", "Migrating")),
    (public_address, ("Allocating", "Releasing")),
    (rule, ("Add", "Revoke")),
)


def findings(db: Connection) -> list[str]:
    """Return one sentence for each disagreement; jobs that still run make transient states legitimate."""
    busy = db.execute(
        sa.select(sa.func.count()).select_from(job).where(job.c.state.not_in(("done", "failed", "cancelled")))
    ).scalar_one()
    found = [
        *_hosts(db),
        *_pools(db),
        *_addresses(db),
        *_networks(db),
        *_machines(db),
        *_counts(db),
        *audit_usage.findings(db),
    ]
    return found if busy else [*found, *_transient(db)]


def _transient(db: Connection) -> Iterator[str]:
    for table, states in _TRANSIENT:
        statement = sa.select(table.c.uuid, table.c.state).where(table.c.state.in_(states))
        if "removed" in table.c:
            statement = statement.where(table.c.removed.is_(None))
        for row in db.execute(statement):
            yield f"{table.name} {row.uuid} is in {row.state} though no job runs"


def _hosts(db: Connection) -> Iterator[str]:
    held = sa.select(
        machine.c.host_id,
        sa.func.sum(machine.c.cpus * machine.c.cpu_mhz).label("cpu"),
        sa.func.sum(machine.c.memory_mib).label("memory"),
    ).where(machine.c.removed.is_(None), machine.c.state.in_(HOLDING), machine.c.host_id.is_not(None))
    held_by = {row.host_id: row for row in db.execute(held.group_by(machine.c.host_id))}
    for row in db.execute(sa.select(host).where(host.c.removed.is_(None))):
        use = held_by.get(row.id)
        cpu, memory = (int(use.cpu), int(use.memory)) if use else (0, 0)
        if (row.used_cpu_mhz, row.used_memory_mib) != (cpu, memory):
            yield (
                f"host {row.uuid} counts {row.used_cpu_mhz} MHz and {row.used_memory_mib} MiB as taken, "
                f"its machines hold {cpu} MHz and {memory} MiB"
            )


def _counts(db: Connection) -> Iterator[str]:
    for (account_id, kind), (counted, true) in counting.differences(db, None).items():
        yield f"account {account_id} counts {counted} of resource type {kind}, the rows say {true}"


def _pools(db: Connection) -> Iterator[str]:
    held = (
        sa.select(
            volume.c.pool_id,
            sa.func.sum(volume.c.size).label("size"),
            sa.func.sum(sa.func.coalesce(volume.c.min_iops, 0)).label("iops"),
        )
        .where(volume.c.removed.is_(None), volume.c.pool_id.is_not(None))
        .group_by(volume.c.pool_id)
    )
    found = {row.pool_id: row for row in db.execute(held)}
    promised = {id_: row.size for id_, row in found.items()}
    for row in db.execute(sa.select(storage_pool).where(storage_pool.c.removed.is_(None))):
        if row.allocated != int(promised.get(row.id, 0)):
            yield (
                f"storage pool {row.uuid} counts {row.allocated} bytes as promised, "
                f"its volumes hold {int(promised.get(row.id, 0))}"
            )
        iops = int(found[row.id].iops) if row.id in found else 0
        if row.allocated_iops != iops:
            yield f"storage pool {row.uuid} counts {row.allocated_iops} IOPS as promised, its volumes hold {iops}"


def _addresses(db: Connection) -> Iterator[str]:
    for row in db.execute(sa.select(public_address)):
        free = row.state == "Free"
        if free and (row.account_id or row.network_id or row.is_source_nat or row.is_static_nat):
            yield f"address {row.address} is free but still has an owner, a network or a use"
        if not free and row.account_id is None:
            yield f"address {row.address} is {row.state} but belongs to nobody"
    orphans = (
        sa.select(public_address.c.address)
        .join(network, network.c.id == public_address.c.network_id)
        .where(network.c.removed.is_not(None))
    )
    for (address,) in db.execute(orphans):
        yield f"address {address} belongs to a network that is gone"


def _networks(db: Connection) -> Iterator[str]:
    tags = {row.network_id: row.tag for row in db.execute(sa.select(segment_tag))}
    live = {row.id: row for row in db.execute(sa.select(network).where(network.c.removed.is_(None)))}
    for network_id, tag in tags.items():
        if network_id not in live:
            yield f"segment tag {tag} is taken by network {network_id}, which is gone"
    sources = Counter(
        db.execute(sa.select(public_address.c.network_id).where(public_address.c.is_source_nat)).scalars().all()
    )
    for row in live.values():
        if row.tag is not None and tags.get(row.id) != row.tag:
            yield f"network {row.uuid} says tag {row.tag}, the register says {tags.get(row.id)}"
        if sources.get(row.id, 0) > 1:
            yield f"network {row.uuid} has {sources[row.id]} source NAT addresses"
    routers = sa.select(router.c.uuid).join(network, network.c.id == router.c.network_id)
    for (uuid,) in db.execute(routers.where(router.c.removed.is_(None), network.c.removed.is_not(None))):
        yield f"router {uuid} serves a network that is gone"


def _machines(db: Connection) -> Iterator[str]:
    rows = {row.id: row for row in db.execute(sa.select(machine))}
    for row in rows.values():
        if row.removed is None and row.state == "Running" and row.host_id is None:
            yield f"machine {row.uuid} runs nowhere"
        if row.removed is None and row.state in ("Stopped", "Destroyed", "Error") and row.host_id is not None:
            yield f"machine {row.uuid} is {row.state} but still on host {row.host_id}"
    yield from _orphans(db, rows, nic, "NIC")
    yield from _orphans(db, rows, volume, "volume")


def _orphans(db: Connection, rows: dict[int, Any], table: sa.Table, label: str) -> Iterator[str]:
    statement = sa.select(table.c.uuid, table.c.machine_id).where(
        table.c.removed.is_(None), table.c.machine_id.is_not(None)
    )
    for row in db.execute(statement):
        owner = rows.get(row.machine_id)
        if owner is None or owner.removed is not None:
            yield f"{label} {row.uuid} belongs to machine {row.machine_id}, which is gone"
