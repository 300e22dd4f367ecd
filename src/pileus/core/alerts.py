"""Alerts: what an operator has to look at; written with what caused them, mailed soon after (core/mailing.py)."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.core.database import insert, new_uuid, now
from pileus.core.tables import alert

TYPES = {
    "ALERT.MEMORY": 0,
    "ALERT.CPU": 1,
    "ALERT.STORAGE": 2,
    "ALERT.STORAGE.ALLOCATED": 3,
    "ALERT.PUBLIC.IP": 4,
    "ALERT.PRIVATE.IP": 5,
    "ALERT.SECONDARY.STORAGE": 6,
    "ALERT.COMPUTE.HOST": 7,
    "ALERT.USERVM": 8,
    "ALERT.SERVICE.DOMAINROUTER": 9,
    "ALERT.SERVICE.CONSOLEPROXY": 10,
    "ALERT.NETWORK.ROUTING": 11,
    "ALERT.STORAGE.MISC": 12,
    "ALERT.USAGE": 13,
    "ALERT.MANAGEMENT": 14,
    "ALERT.NETWORK.DOMAINROUTERMIGRATE": 15,
    "ALERT.USERVM.MIGRATE": 17,
    "ALERT.NETWORK.VLAN": 18,
    "ALERT.SERVICE.SSVM": 19,
    "ALERT.STORAGE.DELETE": 21,
    "ALERT.RESOURCE.COUNT": 22,
    "ALERT.NETWORK.DIRECTPUBLICIP": 24,
    "ALERT.STORAGE.LOCAL": 25,
    "ALERT.RESOURCE.EXCEED": 26,
    "ALERT.UPLOAD.FAILED": 28,
    "ALERT.HA.ACTION": 30,
    "ALERT.CA.CERT": 31,
    "ALERT.VM.SNAPSHOT": 32,
}
"""CloudStack's numbers of the types that this server may raise."""

MANAGEMENT = "ALERT.MANAGEMENT"
REPEAT_SECONDS = 3600.0
"""How long the same alert is counted up instead of being written (and mailed) again."""


def record(
    db: Connection,
    type_: str,
    text: str,
    *,
    name: str = "",
    number: int | None = None,
    zone_id: int | None = None,
    pod_id: int | None = None,
    cluster_id: int | None = None,
    repeat: float = REPEAT_SECONDS,
) -> None:
    """Write an alert; one that says the same as another of the last hour only counts that one up.

    ``number``: the type's number, where it is none of TYPES.
    """
    moment = now()
    kind = number if number is not None else TYPES.get(type_, TYPES[MANAGEMENT])
    same = sa.and_(
        alert.c.type == kind,
        alert.c.description == text[:1024],
        alert.c.archived.is_(False),
        alert.c.last > moment - repeat,
    )
    if db.execute(sa.update(alert).where(same).values(times=alert.c.times + 1, last=moment)).rowcount:
        return
    insert(
        db,
        alert,
        uuid=new_uuid(),
        type=kind,
        name=(name or type_)[:255],
        description=text[:1024],
        zone_id=zone_id,
        pod_id=pod_id,
        cluster_id=cluster_id,
        created=moment,
        last=moment,
    )
