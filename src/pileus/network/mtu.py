"""How large packets may be on a network's two sides, and who may say so."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Row

from pileus.core.calls import Call
from pileus.core.errors import InvalidParameter, PermissionDenied
from pileus.infrastructure.mtu_settings import LEAST, MOST_PRIVATE, MOST_PUBLIC, USERS

MOST = {"VLAN": 1500, "VXLAN": 1450}
"""What the hosts' links leave to guests."""


def check(
    call: Call, zone_id: int, isolation: str, offering: Row[Any], *, private: int | None, public: int | None
) -> None:
    """Check the MTUs that were chosen for a network, if any."""
    if private is None and public is None:
        return
    settings, where = call.services.settings, ("zone", zone_id)
    if not call.caller.admin and not settings.get(USERS, where):
        raise PermissionDenied(f"parameters privatemtu and publicmtu are for root admins while {USERS.name} is false")
    if public is not None and "SourceNat" not in offering.services:
        raise InvalidParameter(f"parameter publicmtu: networks of offering {offering.name} have no public side")
    allowed = min(settings.get(MOST_PRIVATE, where), MOST[isolation])
    for name, value, most in (
        ("privatemtu", private, allowed),
        ("publicmtu", public, settings.get(MOST_PUBLIC, where)),
    ):
        if value is not None and not LEAST <= value <= most:
            raise InvalidParameter(
                f"parameter {name} must be from {LEAST} to {most}, the most that {isolation} and the settings leave"
            )
