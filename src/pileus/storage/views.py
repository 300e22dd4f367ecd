"""What clients see of volumes; related rows are loaded once a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core.listing import related
from pileus.core.rendering import date
from pileus.identity import store as identity
from pileus.images.tables import template
from pileus.infrastructure.model import SIMULATOR
from pileus.infrastructure.tables import cluster, pod, zone
from pileus.storage import qos, statistics, tables
from pileus.storage.volumes import ROOT_TERMS, machine_fields


def volumes(db: Connection, rows: Sequence[Row[Any]], *, admin: bool) -> list[dict[str, Any]]:
    """Return volumes; where they are stored is for root admins."""
    owners = identity.owners(db, rows)
    zones = related(db, zone, (row.zone_id for row in rows))
    pools = related(db, tables.storage_pool, (row.pool_id for row in rows))
    offerings = related(db, tables.disk_offering, (row.disk_offering_id for row in rows))
    templates = related(db, template, (row.template_id for row in rows))
    machines = machine_fields(db, (row.machine_id for row in rows if row.machine_id is not None))
    pods = related(db, pod, (p.pod_id for p in pools.values())) if admin else {}
    simulated = frozenset(id_ for id_, of in machines.items() if of.get("hypervisor") == SIMULATOR)
    measured = statistics.fields(db, rows, simulated)
    clusters = related(db, cluster, (p.cluster_id for p in pools.values())) if admin else {}
    found: list[dict[str, Any]] = []
    for row in rows:
        pool = pools.get(row.pool_id)
        made_from = templates.get(row.template_id)
        view: dict[str, Any] = {
            "id": row.uuid,
            "name": row.name,
            "type": row.type,
            "size": row.size,
            "virtualsize": row.size if row.state == "Ready" else None,
            "physicalsize": row.physical_size,
            "miniops": row.min_iops,
            "maxiops": row.max_iops,
            "state": row.state,
            "created": date(row.created),
            "attached": date(row.attached),
            "destroyed": row.state in ("Destroy", "Expunging", "Expunged"),
            "deviceid": row.device_id if row.machine_id is not None else None,
            "zoneid": zones[row.zone_id].uuid,
            "zonename": zones[row.zone_id].name,
            "storagetype": "local" if pool is not None and pool.scope == "HOST" else "shared",
            "hypervisor": pool.hypervisor if pool is not None else None,
            "isextractable": bool(made_from.is_extractable) if made_from is not None else True,
            "quiescevm": False,
            "supportsstoragesnapshot": False,
            "deleteprotection": False,
            "tags": [],
            **identity.owner_fields(owners.get(row.account_id)),
        }
        offering = offerings.get(row.disk_offering_id)
        if offering is not None:
            view |= {
                "diskofferingid": offering.uuid,
                "diskofferingname": offering.name,
                "diskofferingdisplaytext": offering.display_text,
                "provisioningtype": offering.provisioning,
            }
        of_machine = dict(machines.get(row.machine_id or 0, {}))
        by_service = of_machine.pop(ROOT_TERMS, {})
        view |= qos.shown(offering.rates, bursts=False) if offering is not None else by_service
        if made_from is not None:
            view |= {
                "templateid": made_from.uuid,
                "templatename": made_from.name,
                "templatedisplaytext": made_from.display_text,
            }
        view |= of_machine
        view |= measured.get(row.id, {})
        if admin:
            view["displayvolume"] = row.display
        if admin and pool is not None:
            view |= _where(row, pool, pods.get(pool.pod_id), clusters.get(pool.cluster_id))
        found.append(view)
    return found


def _where(row: Row[Any], pool: Row[Any], in_pod: Row[Any] | None, in_cluster: Row[Any] | None) -> dict[str, Any]:
    return {
        "storage": pool.name,
        "storageid": pool.uuid,
        "path": row.path or None,
        "podid": in_pod.uuid if in_pod is not None else None,
        "podname": in_pod.name if in_pod is not None else None,
        "clusterid": in_cluster.uuid if in_cluster is not None else None,
        "clustername": in_cluster.name if in_cluster is not None else None,
    }
