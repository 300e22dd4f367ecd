"""On what terms a disk is made: by its disk offering, or by the service offering of its machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy.engine import Row

from pileus.core.errors import InvalidParameter
from pileus.storage import qos


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What an offering says of a disk."""

    offering: str  # its name, for people
    storage_type: str  # shared local
    provisioning: str  # thin sparse fat
    tags: str  # ",ssd,"
    cache_mode: str
    rates: Mapping[str, int]
    size: int | None  # bytes; None = chosen, or the template's
    strict_size: bool
    customized_iops: bool
    min_iops: int | None
    max_iops: int | None
    snapshot_reserve: int | None

    @property
    def local(self) -> bool:
        """Tell whether the disk is on the host's own storage."""
        return self.storage_type == "local"

    @property
    def cache(self) -> str:
        """Return the cache mode as hosts know it: "" leaves none to them."""
        return "" if self.cache_mode == "none" else self.cache_mode

    def iops(self, least: int | None, most: int | None, *, parameter: str) -> tuple[int | None, int | None]:
        """Return the IOPS of a new disk: those that were chosen, where they may be, else the offering's."""
        if least is None and most is None:
            return self.min_iops, self.max_iops
        if not self.customized_iops:
            raise InvalidParameter(f"parameter {parameter}: the IOPS of offering {self.offering} cannot be chosen")
        qos.check_iops(least, most)
        return least, most


def of_disk_offering(row: Row[Any]) -> Terms:
    """Return the terms of a disk offering."""
    return Terms(
        offering=row.name,
        storage_type=row.storage_type,
        provisioning=row.provisioning,
        tags=row.tags,
        cache_mode=row.cache_mode or "none",
        rates=row.rates or {},
        size=row.size or None,
        strict_size=row.strict_size,
        customized_iops=bool(row.customized_iops),
        min_iops=row.min_iops,
        max_iops=row.max_iops,
        snapshot_reserve=row.snapshot_reserve,
    )
