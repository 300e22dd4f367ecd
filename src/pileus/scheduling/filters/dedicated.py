"""Not the hosts that are set aside for other domains or accounts."""

from __future__ import annotations

from pileus.scheduling.model import Host, Reason, Request, Reservation

_RESERVED = Reason("is dedicated to others", "are dedicated to others")


def check(host: Host, request: Request) -> Reason | None:
    """Refuse hosts that are dedicated, or in a place that is, unless it is to the machine's owner."""
    if not host.reserved or all(allows(each, request.account_id, request.domain_id) for each in host.reserved):
        return None
    return _RESERVED


def allows(reservation: Reservation, account_id: int, domain_id: int) -> bool:
    """Tell whether an account may use what is reserved."""
    if reservation.account_id is not None:
        return reservation.account_id == account_id
    return domain_id in reservation.domains
