"""Users and passwords of hosts: kept for those who administer them, and changed on the hosts when asked to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.core import database
from pileus.core.jobs import Job, secret_operations, workflow
from pileus.infrastructure.tables import cluster, host

secret_operations("host.password")


def keep(db: Connection, hosts: Sequence[int], username: str, encrypted: str, *, of_cluster: int | None = None) -> None:
    """Keep the user and the encrypted password of hosts, and those of a cluster."""
    values: dict[str, Any] = {"username": username, "password": encrypted}
    if hosts:
        db.execute(sa.update(host).where(host.c.id.in_(hosts)).values(**values))
    if of_cluster is not None:
        database.change(db, cluster, of_cluster, **values)


@workflow("host.password")
def change(job: Job, hosts: list[int], username: str, encrypted: str, of_cluster: int | None) -> None:
    """Change the password on each host, and keep it of those where it was changed."""
    for id_ in hosts:
        arguments = {"username": username, "password": job.services.secrets.decrypt(encrypted)}
        job.call(f"change-{id_}", id_, "host.password", f"host:{id_}", arguments, timeout=30)
        job.commit(f"kept-{id_}", lambda db, id_=id_: keep(db, [id_], username, encrypted))

    def done(db: Connection) -> dict[str, Any]:
        keep(db, [], username, encrypted, of_cluster=of_cluster)
        return {"success": True}

    job.finish("done", done)
