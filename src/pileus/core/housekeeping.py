"""What is kept for a while and then deleted: events, alerts, jobs that have ended; and how long a job may take."""

from __future__ import annotations

import math
from collections.abc import Callable

import sqlalchemy as sa
import structlog

from pileus.core import database
from pileus.core.jobs import periodic
from pileus.core.services import Services
from pileus.core.settings import Setting, declare
from pileus.core.tables import alert, event

log = structlog.get_logger(__name__)

_DAY = 86_400
_BATCH = 1000

EVENT_DAYS = declare("event.purge.delay", int, 15, "days after which events are deleted; 0 = never", minimum=0)
EVENT_INTERVAL = declare("event.purge.interval", int, _DAY, "seconds between two deletions of old events", minimum=1)
ALERT_DAYS = declare("alert.purge.delay", int, 0, "days after which alerts are deleted; 0 = never", minimum=0)
ALERT_INTERVAL = declare("alert.purge.interval", int, _DAY, "seconds between two deletions of old alerts", minimum=1)
JOB_KEPT = declare("job.expire.minutes", int, 1440, "minutes that jobs are kept after they have ended", minimum=1)
JOB_MOST = declare(
    "job.cancel.threshold.minutes", int, 60, "minutes after which a job that has not ended is cancelled", minimum=1
)


def _period(days: Setting[int], interval: Setting[int]) -> Callable[[Services], float]:
    def period(services: Services) -> float:
        get = services.settings.get
        return float(get(interval)) if get(days) else math.inf

    return period


@periodic("core.purge-events", every=_period(EVENT_DAYS, EVENT_INTERVAL))
def purge_events(services: Services) -> None:
    """Delete events that are older than operators want them."""
    _purge(services, event, event.c.created, EVENT_DAYS)


@periodic("core.purge-alerts", every=_period(ALERT_DAYS, ALERT_INTERVAL))
def purge_alerts(services: Services) -> None:
    """Delete alerts that were not raised again for as long as operators want them."""
    _purge(services, alert, alert.c.last, ALERT_DAYS)


def _purge(services: Services, table: sa.Table, moment: sa.Column[float], days: Setting[int]) -> None:
    kept, count = services.settings.get(days), 0
    before = database.now() - _DAY * kept
    while kept:
        with services.database.read() as db:
            ids = list(db.execute(sa.select(table.c.id).where(moment < before).limit(_BATCH)).scalars())
        if not ids:
            break
        with services.database.write() as db:
            db.execute(sa.delete(table).where(table.c.id.in_(ids)))
        count += len(ids)
    if count:
        log.info("old records were deleted", kind=table.name, count=count)
