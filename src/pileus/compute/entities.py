"""Kinds of object of compute that a reference can name."""

from __future__ import annotations

from pileus.compute import tables
from pileus.core import entities
from pileus.infrastructure import restricted


def register() -> None:
    """Register the kinds."""
    entities.register("UserVm", tables.machine, "virtual machine")
    entities.register("VirtualMachine", tables.machine, "virtual machine")
    entities.register(
        "ServiceOffering",
        tables.service_offering,
        "service offering",
        use=restricted.may_use,
        manage=restricted.may_manage,
    )
