"""Guests: what DHCP, DNS, metadata and password server of a router know of the machines, told by compute."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from pileus.wire.router import GuestHost

Provider = Callable[[Connection, int], list[GuestHost]]
"""``provide(db, network_id)``: the machines plugged into the network, in a constant number of queries."""

_providers: list[Provider] = []


def register_guest_provider(provider: Provider) -> Provider:
    """Register who tells of a network's machines."""
    if provider not in _providers:
        _providers.append(provider)
    return provider


def hosts(db: Connection, network_id: int) -> list[GuestHost]:
    """Return a network's machines."""
    return [host for provider in _providers for host in provider(db, network_id)]
