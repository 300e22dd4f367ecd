"""Limits of hypervisors, as operators set them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.errors import InvalidParameter
from pileus.infrastructure import model
from pileus.infrastructure.tables import host, hypervisor_limit


def seed(db: Connection) -> None:
    """Write a row for each hypervisor that has none."""
    there = set(db.execute(sa.select(hypervisor_limit.c.hypervisor)).scalars())
    for name in model.HYPERVISORS:
        if name not in there:
            database.insert(db, hypervisor_limit, uuid=database.new_uuid(), hypervisor=name)


def check_hosts(db: Connection, cluster: Row[Any]) -> None:
    """Refuse one more host in a cluster that has all that its hypervisor's limit allows."""
    most = _of(db, cluster.hypervisor, hypervisor_limit.c.hosts_per_cluster)
    if most is None:
        return
    hosts = sa.select(sa.func.count()).select_from(host).where(
        host.c.cluster_id == cluster.id, host.c.removed.is_(None)
    )  # fmt: skip
    if db.execute(hosts).scalar_one() >= most:
        raise InvalidParameter(
            f"parameter clusterid: cluster {cluster.name} has the {most} hosts that are allowed for "
            f"{cluster.hypervisor} (updateHypervisorCapabilities)"
        )


def check_data_volumes(db: Connection, hypervisor: str, count: int) -> None:
    """Refuse more data volumes than a machine may have; ``count``: those that it would have."""
    most = _of(db, hypervisor, hypervisor_limit.c.data_volumes) if count else None
    if most is not None and count > most:
        raise InvalidParameter(
            f"a machine of {hypervisor} may have {most} data volumes at most (updateHypervisorCapabilities)"
        )


def _of(db: Connection, hypervisor: str, column: sa.ColumnElement[Any]) -> int | None:
    return db.execute(sa.select(column).where(hypervisor_limit.c.hypervisor == hypervisor)).scalar_one_or_none()
