"""Primary storage drivers, by the kind of their pools."""

from __future__ import annotations

from pileus.drivers.storage.base import Storage, StorageError
from pileus.drivers.storage.directory import DirectoryStorage

_drivers: dict[str, Storage] = {driver.kind: driver for driver in (DirectoryStorage(),)}


def driver(kind: str) -> Storage:
    """Return the driver of a kind of pool."""
    try:
        return _drivers[kind]
    except KeyError:
        known = ", ".join(sorted(_drivers))
        raise StorageError("unknown-storage", f"no storage driver {kind!r} here; there are: {known}") from None
