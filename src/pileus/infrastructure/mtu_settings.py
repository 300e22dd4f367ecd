"""Settings of a zone that say which MTUs may be chosen for its networks and routers."""

from __future__ import annotations

from typing import Any

from pileus.core.services import Services
from pileus.core.settings import declare

LEAST = 576

USERS = declare(
    "allow.end.users.to.specify.vr.mtu",
    bool,
    False,
    "Whether others than root admins may choose the MTU of their networks and routers",
    scopes=("global", "zone"),
)
MOST_PRIVATE = declare(
    "vr.private.interface.max.mtu",
    int,
    1500,
    "Largest MTU that may be chosen for guest networks",
    scopes=("global", "zone"),
    minimum=LEAST,
)
MOST_PUBLIC = declare(
    "vr.public.interface.max.mtu",
    int,
    1500,
    "Largest MTU that may be chosen for the public side of routers",
    scopes=("global", "zone"),
    minimum=LEAST,
    maximum=1500,
)


def fields(services: Services, zone_id: int) -> dict[str, Any]:
    """Return what a zone's view says of them."""
    settings, where = services.settings, ("zone", zone_id)
    return {
        "allowuserspecifyvrmtu": settings.get(USERS, where),
        "routerprivateinterfacemaxmtu": settings.get(MOST_PRIVATE, where),
        "routerpublicinterfacemaxmtu": settings.get(MOST_PUBLIC, where),
    }
