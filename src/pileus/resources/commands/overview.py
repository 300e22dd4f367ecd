"""What an operator looks at first: how much of everything there is; and what the database does."""

from __future__ import annotations

import os
import socket
import sqlite3
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.pool import QueuePool

from pileus.core import database
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.jobs.tables import server
from pileus.core.rendering import date
from pileus.core.tables import alert
from pileus.images.tables import image_store
from pileus.infrastructure.host_servers import ALIVE_SECONDS
from pileus.infrastructure.tables import cluster, host, pod, zone
from pileus.network.tables import router
from pileus.storage.tables import storage_pool

_LIVING = {
    "zones": zone,
    "pods": pod,
    "clusters": cluster,
    "hosts": host,
    "storagepools": storage_pool,
    "imagestores": image_store,
    "routers": router,
}
_NONE = ("systemvms", "ilbvms", "objectstores", "backuprepositories")
"""What this server does not have, whatever was set up."""


def _count(table: sa.Table, *conditions: Any) -> Any:
    return sa.select(sa.func.count()).select_from(table).where(*conditions).scalar_subquery()


@command("listInfrastructure")
class ListInfrastructure(Command):
    """Count what the cloud is made of."""

    def run(self, call: Call) -> dict[str, Any]:
        """Count in one statement."""
        columns = [_count(table, table.c.removed.is_(None)).label(name) for name, table in _LIVING.items()]
        columns.append(_count(alert, alert.c.archived.is_(False)).label("alerts"))
        alive = server.c.heartbeat > database.now() - ALIVE_SECONDS
        columns.append(_count(server, alive).label("managementservers"))
        row = call.db.execute(sa.select(*columns)).mappings().one()
        return {**row, **dict.fromkeys(_NONE, 0)}


@command("listDbMetrics")
class ListDbMetrics(Command):
    """Tell what the database says of itself."""

    def run(self, call: Call) -> dict[str, Any]:
        """Ask it."""
        found = _sqlite(call) if call.services.database.sqlite else _postgres(call.db)
        return {"collectiontime": date(database.now()), **found}


def _sqlite(call: Call) -> dict[str, Any]:
    pool = call.services.database.engine.pool
    return {
        "hostname": socket.gethostname(),
        "version": sqlite3.sqlite_version,
        "versioncomment": "SQLite, within the management server",
        "connections": pool.checkedout() + pool.checkedin() if isinstance(pool, QueuePool) else None,
        "dbloadaverages": list(os.getloadavg()),
        "replicas": [],
        "tlsversions": "",
    }


def _postgres(db: Connection) -> dict[str, Any]:
    row = db.execute(
        sa.text(
            "SELECT current_setting('server_version') AS version, version() AS comment,"
            " EXTRACT(EPOCH FROM now() - pg_postmaster_start_time())::bigint AS uptime,"
            " (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()) AS connections,"
            " (SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()) AS done,"
            " (SELECT string_agg(DISTINCT version, ',') FROM pg_stat_ssl WHERE ssl) AS tls,"
            " host(inet_server_addr()) AS address"
        )
    ).one()
    return {
        "hostname": row.address or socket.gethostname(),
        "version": row.version,
        "versioncomment": row.comment,
        "connections": row.connections,
        "queries": row.done,  # transactions: PostgreSQL counts no statements
        "uptime": row.uptime,
        "replicas": [],
        "tlsversions": row.tls or "",
    }
