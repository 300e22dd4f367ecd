"""Filters: each says of one host why it does not fit, or None; in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Callable

from pileus.scheduling.filters import avoid, cpu, dedicated, guests, hypervisor, memory, place, state, tags
from pileus.scheduling.model import Host, Reason, Request

Filter = Callable[[Host, Request], Reason | None]

ALL: tuple[Filter, ...] = (
    place.check,
    hypervisor.check,
    state.check,
    avoid.check,
    dedicated.check,
    tags.check,
    guests.check,
    cpu.check,
    memory.check,
)
"""Storage comes after these: it also chooses the pools."""
