"""Jobs of infrastructure that need no host: the change was made with the call, the job tells its result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.jobs import Job, workflow
from pileus.infrastructure import host_views, network_views, tables

_View = Callable[..., list[dict[str, Any]]]

_SHOWN: dict[str, tuple[Table, _View]] = {
    "host": (tables.host, host_views.hosts),
    "physicalnetwork": (tables.physical_network, network_views.physical_networks),
    "traffictype": (tables.traffic_type, network_views.traffic_types),
    "networkserviceprovider": (tables.service_provider, network_views.providers),
    "virtualrouterelement": (tables.router_element, network_views.elements),
}


@workflow("infrastructure.show")
def show(job: Job, kind: str, row_id: int) -> None:
    """End with the object as clients see it, under its key."""
    table, view = _SHOWN[kind]

    def render(db: Connection) -> dict[str, Any]:
        rows: Sequence[Row[Any]] = [database.one(db, table, row_id)]
        return {kind: view(db, rows, admin=job.admin)[0]}

    job.finish("done", render)


@workflow("infrastructure.deleted")
def deleted(job: Job) -> None:
    """End with success: the object went with the call."""
    job.finish("done", lambda _db: {"success": True})
