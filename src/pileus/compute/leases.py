"""Leases: machines that are stopped or destroyed by themselves after some days, where the cloud has that switched on.

A lease is PENDING until its end; then it is DONE, whatever becomes of the machine afterwards.  Its owner may shorten,
extend or cancel it as long as it is pending.  Switched off, all pending leases become DISABLED, and stay that.
"""

from __future__ import annotations

import math
from typing import Any

from sqlalchemy.engine import Row

from pileus.compute import settings
from pileus.core import database
from pileus.core.errors import InvalidParameter
from pileus.core.rendering import date
from pileus.core.services import Services
from pileus.infrastructure.model import one_of

STOP, DESTROY = "STOP", "DESTROY"
ACTIONS = (STOP, DESTROY)
PENDING, DONE, CANCELLED, DISABLED = "PENDING", "DONE", "CANCELLED", "DISABLED"
NO_LEASE = -1
MOST_DAYS = 36_500
DAY = 86_400


def check(days: int | None, action: str | None, *, none: bool = False) -> str | None:
    """Return the action of a lease, checked together with its days (``none``: -1 days stand for no lease)."""
    if days is None and action is None:
        return None
    if none and days == NO_LEASE:
        return None
    if days is None or action is None:
        raise InvalidParameter("parameters leaseduration and leaseexpiryaction go together")
    if not 1 <= days <= MOST_DAYS:
        raise InvalidParameter(f"parameter leaseduration must be between 1 and {MOST_DAYS} (days)")
    return one_of("leaseexpiryaction", action, ACTIONS)


def refuse_disabled(services: Services) -> None:
    """Refuse leases where the cloud has none."""
    if not services.settings.get(settings.LEASES):
        raise InvalidParameter(
            f"parameter leaseduration: machines have no leases here; the setting {settings.LEASES.name} is false"
        )


def columns(services: Services, offering: Row[Any], days: int | None, action: str | None) -> dict[str, Any]:
    """Return a new machine's lease: as asked for, else the offering's; ``days`` -1 = none."""
    if action is not None:
        refuse_disabled(services)
    elif days == NO_LEASE or offering.lease_action is None or not services.settings.get(settings.LEASES):
        return {}
    else:
        days, action = offering.lease_days, offering.lease_action
    return {"lease_until": database.now() + (days or 0) * DAY, "lease_action": action, "lease_state": PENDING}


def changed(services: Services, row: Row[Any], days: int | None, action: str | None) -> dict[str, Any]:
    """Return what a change of a machine's lease comes to; only a pending one can be changed, -1 days cancel it."""
    if days is None:
        return {}
    refuse_disabled(services)
    if row.lease_state != PENDING or row.lease_until <= database.now():
        raise InvalidParameter(f"parameter leaseduration: virtual machine {row.name} has no lease that still runs")
    if days == NO_LEASE:
        return {"lease_state": CANCELLED}
    return {"lease_until": database.now() + days * DAY, "lease_action": action}


def fields(row: Row[Any]) -> dict[str, Any]:
    """Return what clients see of a machine's lease while it runs; its days are those that are left."""
    if row.lease_state != PENDING:
        return {}
    return {
        "leaseduration": max(0, math.ceil((row.lease_until - database.now()) / DAY)),
        "leaseexpirydate": date(row.lease_until),
        "leaseexpiryaction": row.lease_action,
    }
