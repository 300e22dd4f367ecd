"""What hung on objects that are gone is deleted, once an hour."""

from __future__ import annotations

import sqlalchemy as sa
import structlog

from pileus.core.jobs import periodic
from pileus.core.services import Services
from pileus.resources import kinds
from pileus.resources.tables import annotation, resource_detail, resource_icon, resource_tag

log = structlog.get_logger(__name__)


@periodic("resources.sweep", every=3600)
def sweep(services: Services) -> None:
    """Delete tags, icons, details and annotations whose object is gone."""
    tagged, annotated = list(kinds.tagged()), list(kinds.all_annotated())
    for table in (resource_tag, resource_icon, resource_detail):
        gone = sa.not_(kinds.exists(table.c.resource_type, table.c.resource_uuid, tagged))
        _delete(services, table, gone)
    _delete(services, annotation, sa.not_(kinds.exists(annotation.c.entity_type, annotation.c.entity_uuid, annotated)))


def _delete(services: Services, table: sa.Table, gone: sa.ColumnElement[bool]) -> None:
    with services.database.read() as db:
        ids = list(db.execute(sa.select(table.c.id).where(gone).limit(10_000)).scalars())
    for begin in range(0, len(ids), 500):
        with services.database.write() as db:
            db.execute(sa.delete(table).where(table.c.id.in_(ids[begin : begin + 500])))
    if ids:
        log.info("what hung on deleted objects is deleted", kind=table.name, count=len(ids))
