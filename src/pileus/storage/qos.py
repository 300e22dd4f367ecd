"""What offerings say of disks' speed: limits of bytes and requests a second with their bursts, IOPS, cache mode.

Limits are enforced by the hypervisor.  Of the IOPS, the maximum is a limit of reading and writing together, and the
minimum is reserved in the primary storage, as far as that says how many it has (capacityiops).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.core.commands import Command
from pileus.core.errors import InvalidParameter
from pileus.core.services import Services
from pileus.core.settings import Settings, declare
from pileus.infrastructure import model
from pileus.wire.machines import Throttle

CACHE_MODES = ("none", "writeback", "writethrough")
LIMITS = ("bytesreadrate", "byteswriterate", "iopsreadrate", "iopswriterate")
RATES = tuple(limit + suffix for suffix in ("", "max", "maxlength") for limit in LIMITS)
"""The parameters' names; an offering keeps those that were given under them."""

_LENGTHS = {
    limit: declare(
        f"vm.disk.{what}.maximum.{way}.length",
        int,
        0,
        f"seconds that an offering may allow a burst of {what} in a disk's {way}s to last, at most (0 = any)",
        minimum=0,
    )
    for limit, what, way in (
        ("bytesreadrate", "bytes", "read"),
        ("byteswriterate", "bytes", "write"),
        ("iopsreadrate", "iops", "read"),
        ("iopswriterate", "iops", "write"),
    )
}
_DEFAULTS = {
    limit: declare(
        f"vm.disk.throttling.{what}_{way}_rate",
        int,
        0,
        f"{unit} a second that a disk may {way}, where its offering says nothing of it (0 = any number)",
        minimum=0,
    )
    for limit, what, way, unit in (
        ("bytesreadrate", "bytes", "read", "bytes"),
        ("byteswriterate", "bytes", "write", "bytes"),
        ("iopsreadrate", "iops", "read", "requests"),
        ("iopswriterate", "iops", "write", "requests"),
    )
}
_IN_THROTTLE = {
    "bytesreadrate": "read_bytes_sec",
    "byteswriterate": "write_bytes_sec",
    "iopsreadrate": "read_iops_sec",
    "iopswriterate": "write_iops_sec",
}
_IN_ANSWERS = {
    "bytesreadrate": "diskBytesReadRate",
    "byteswriterate": "diskBytesWriteRate",
    "iopsreadrate": "diskIopsReadRate",
    "iopswriterate": "diskIopsWriteRate",
}
_SUFFIXES = {"": ("", ""), "max": ("_max", "Max"), "maxlength": ("_max_length", "MaxLength")}


class LimitedCommand(Command):
    """Base of commands that say how fast disks may be."""

    bytesreadrate: int | None = None
    bytesreadratemax: int | None = None
    bytesreadratemaxlength: int | None = None
    byteswriterate: int | None = None
    byteswriteratemax: int | None = None
    byteswriteratemaxlength: int | None = None
    iopsreadrate: int | None = None
    iopsreadratemax: int | None = None
    iopsreadratemaxlength: int | None = None
    iopswriterate: int | None = None
    iopswriteratemax: int | None = None
    iopswriteratemaxlength: int | None = None

    def given(self) -> dict[str, int]:
        """Return the limits that were passed (0 = none)."""
        return {name: value for name in RATES if (value := getattr(self, name)) is not None}


class DiskCommand(LimitedCommand):
    """Base of commands that make an offering of disks."""

    cachemode: str = "none"
    customizediops: bool = False
    miniops: int | None = None
    maxiops: int | None = None
    hypervisorsnapshotreserve: int | None = None

    def check_disk(self) -> None:
        """Check words and numbers."""
        self.cachemode = model.one_of("cachemode", self.cachemode, CACHE_MODES)
        if self.customizediops and (self.miniops is not None or self.maxiops is not None):
            raise InvalidParameter("parameters miniops and maxiops do not go together with customizediops=true")
        check_iops(self.miniops, self.maxiops)
        if (self.hypervisorsnapshotreserve or 0) < 0:
            raise InvalidParameter("parameter hypervisorsnapshotreserve must not be negative (percent of the volume)")

    def disk_columns(self, services: Services) -> dict[str, Any]:
        """Return the columns that disk and service offerings have in common."""
        return {
            "rates": checked(services, self.given(), iops=self.customizediops or self.maxiops is not None),
            "cache_mode": self.cachemode,
            "customized_iops": self.customizediops,
            "min_iops": self.miniops,
            "max_iops": self.maxiops,
            "snapshot_reserve": self.hypervisorsnapshotreserve,
        }


def check_iops(least: int | None, most: int | None) -> None:
    """Check a minimum and a maximum of IOPS."""
    for name, value in (("miniops", least), ("maxiops", most)):
        if value is not None and value < 1:
            raise InvalidParameter(f"parameter {name} must be at least 1")
    if least is not None and most is not None and least > most:
        raise InvalidParameter(f"parameter miniops ({least}) must not be above maxiops ({most})")


def checked(services: Services, given: Mapping[str, int], *, iops: bool) -> dict[str, int]:
    """Return an offering's limits without those that are none (0); ``iops``: it also limits or leaves open its IOPS."""
    for name, value in given.items():
        if value < 0:
            raise InvalidParameter(f"parameter {name} must not be negative (0 = no limit)")
    rates = {name: value for name, value in given.items() if value}
    for limit in LIMITS:
        rate, most, length = (rates.get(limit + suffix) for suffix in ("", "max", "maxlength"))
        if most is not None and (rate is None or most < rate):
            raise InvalidParameter(f"parameter {limit}max is what a burst may reach: it must be above {limit}")
        if length is not None and most is None:
            raise InvalidParameter(f"parameter {limit}maxlength is how long a burst lasts: {limit}max is missing")
        longest = services.settings.get(_LENGTHS[limit])
        if longest and (length or 0) > longest:
            raise InvalidParameter(
                f"parameter {limit}maxlength may be at most {longest} seconds (setting {_LENGTHS[limit].name})"
            )
    if iops and ("iopsreadrate" in rates or "iopswriterate" in rates):
        raise InvalidParameter(
            "parameters iopsreadrate and iopswriterate exclude maxiops and customizediops: reads and writes are "
            "limited together, or each by itself"
        )
    return rates


def effective(settings: Settings, rates: Mapping[str, int], max_iops: int | None) -> dict[str, int]:
    """Return a disk's limits: its offering's, and for what that leaves open those of the cloud's settings."""
    found = {limit: value for limit, setting in _DEFAULTS.items() if (value := settings.get(setting))}
    if max_iops:  # a limit of both, which leaves none for either
        found = {limit: value for limit, value in found.items() if not limit.startswith("iops")}
    return found | dict(rates)


def throttle(rates: Mapping[str, int], max_iops: int | None) -> Throttle | None:
    """Return what the hypervisor shall enforce; None = nothing."""
    fields = {
        _IN_THROTTLE[limit] + wire: int(rates[limit + suffix])
        for limit in LIMITS
        for suffix, (wire, _) in _SUFFIXES.items()
        if rates.get(limit + suffix)
    }
    if max_iops:
        fields["total_iops_sec"] = int(max_iops)
    return Throttle(**fields) if fields else None


def shown(rates: Mapping[str, int], *, bursts: bool = True) -> dict[str, int]:
    """Return limits as answers name them."""
    return {
        _IN_ANSWERS[limit] + answer: int(rates[limit + suffix])
        for limit in LIMITS
        for suffix, (_, answer) in _SUFFIXES.items()
        if rates.get(limit + suffix) and (bursts or not suffix)
    }
