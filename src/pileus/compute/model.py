"""Pure rules of machines: states, names, user data, sizes."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from pileus.core.errors import InvalidParameter
from pileus.core.parameters import is_uuid

RUNNING, STOPPED, STARTING, STOPPING = "Running", "Stopped", "Starting", "Stopping"
DESTROYED, EXPUNGING, ERROR = "Destroyed", "Expunging", "Error"
STATES = (
    RUNNING,
    STOPPED,
    STARTING,
    STOPPING,
    "Migrating",
    DESTROYED,
    EXPUNGING,
    ERROR,
    "Unknown",
    "Shutdown",
)
ON_HOST = (STARTING, RUNNING, STOPPING)
"""States in which a machine holds room on a host."""

GIB = 1 << 30
MOST_USER_DATA = 1 << 20  # characters of base64
MOST_DATA_DISKS = 8
LEAST_MEMORY = 32  # MiB

_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.IGNORECASE)
_SIZE_KEYS = {"cpunumber": "cpus", "cpuspeed": "cpu_mhz", "memory": "memory_mib"}
_LABELS = {"cpus": "cpuNumber", "cpu_mhz": "cpuSpeed", "memory_mib": "memory"}


class Size(msgspec.Struct, frozen=True):
    """What a machine computes with."""

    cpus: int
    cpu_mhz: int  # of one core
    memory_mib: int

    @property
    def cpu(self) -> int:
        """Return the MHz of all cores."""
        return self.cpus * self.cpu_mhz


KEYBOARD = "keyboard"  # among the details
KEYBOARDS = (
    "de", "de-ch", "es", "es-latam", "fi", "fr", "fr-be", "fr-ch", "is", "it", "jp", "nl-be", "no", "pt", "uk", "us",
)  # fmt: skip


def keyboard(details: Mapping[str, str], chosen: str | None) -> dict[str, str]:
    """Return a machine's details with the layout of its console's keyboard among them, when one is chosen."""
    found = dict(details)
    if chosen is not None:
        found[KEYBOARD] = chosen.strip().lower()
    if found.get(KEYBOARD, "us") not in KEYBOARDS:
        raise InvalidParameter(f"parameter keyboard must be one of {', '.join(KEYBOARDS)}")
    return found


def custom_id(text: str | None) -> str | None:
    """Return the id that an administrator has chosen for an object, as ids are written."""
    if text is not None and not is_uuid(text):
        raise InvalidParameter(f"parameter customid must be a UUID, not {text[:60]!r}")
    return None if text is None else text.lower()


def refuse_uefi(boot_type: str | None, mode: str | None) -> None:
    """Check how a machine shall boot: by BIOS, which is the legacy mode."""
    if (boot_type or "BIOS").upper() not in ("BIOS", "UEFI"):
        raise InvalidParameter(f"parameter boottype must be BIOS or UEFI, not {(boot_type or '')[:20]!r}")
    if (mode or "LEGACY").upper() not in ("LEGACY", "SECURE"):
        raise InvalidParameter(f"parameter bootmode must be LEGACY or SECURE, not {(mode or '')[:20]!r}")
    if (boot_type or "").upper() == "UEFI" or (mode or "").upper() == "SECURE":
        raise InvalidParameter("parameter boottype: the hosts of this cloud start machines by BIOS only")


def host_name(parameter: str, name: str) -> str:
    """Return a machine's name when it can be a host name (RFC 1123, and no digit first)."""
    if not _NAME.fullmatch(name):
        raise InvalidParameter(
            f"parameter {parameter} must be a host name: 1 to 63 letters, digits and hyphens, a letter first and no "
            f"hyphen last, not {name[:70]!r}"
        )
    return name


def mac_address(value: str, parameter: str = "macaddress") -> str:
    """Return a unicast MAC address in lower case."""
    text = value.strip().lower().replace("-", ":")
    if not _MAC.fullmatch(text) or int(text[:2], 16) & 1:
        raise InvalidParameter(
            f"parameter {parameter} must be the address of one interface, such as 02:00:4c:00:00:01, not {value[:60]!r}"
        )
    return text


def user_data(value: str) -> str:
    """Return user data (base64) when it can be decoded."""
    text = re.sub(r"\s", "", value)
    if len(text) > MOST_USER_DATA:
        raise InvalidParameter(f"parameter userdata may be at most {MOST_USER_DATA} characters long in base64")
    try:
        base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidParameter("parameter userdata must be base64") from None
    return text + "=" * (-len(text) % 4)


def size(offering: Any, details: Mapping[str, str]) -> tuple[Size, dict[str, str]]:
    """Return the machine's size by its service offering and details, and the details that are left.

    Details ``cpuNumber``, ``cpuSpeed`` and ``memory`` fill in what the offering leaves open, within its limits.
    """
    chosen: dict[str, int] = {}
    rest: dict[str, str] = {}
    for key, value in details.items():
        column = _SIZE_KEYS.get(key.lower())
        if column is None:
            rest[key] = value
            continue
        if getattr(offering, column) is not None:
            raise InvalidParameter(
                f"parameter details: the service offering {offering.name} sets {key} itself; leave it out"
            )
        chosen[column] = _whole(key, value)
    values: dict[str, int] = {}
    for column, label in _LABELS.items():
        fixed = getattr(offering, column)
        if fixed is None and column not in chosen:
            raise InvalidParameter(
                f"parameter details: the service offering {offering.name} leaves {label} open, so "
                f"details[0].{label} is needed"
            )
        values[column] = fixed if fixed is not None else chosen[column]
    _within(offering, chosen)
    return Size(**values), rest


def _whole(key: str, value: str) -> int:
    if not value.strip().isascii() or not value.strip().isdigit() or not 0 < int(value) < 1 << 31:
        raise InvalidParameter(f"parameter details: {key} must be a whole number above 0, not {value[:40]!r}")
    return int(value)


def _within(offering: Any, chosen: Mapping[str, int]) -> None:
    limits: Mapping[str, Any] = offering.limits or {}
    for column, lowest, low, high in (
        ("cpus", 1, "mincpunumber", "maxcpunumber"),
        ("memory_mib", LEAST_MEMORY, "minmemory", "maxmemory"),
    ):
        if column not in chosen:
            continue
        least, most = int(limits.get(low) or lowest), limits.get(high)
        if chosen[column] < least or (most is not None and chosen[column] > int(most)):
            span = f"between {least} and {most}" if most is not None else f"at least {least}"
            raise InvalidParameter(
                f"parameter details: {_LABELS[column]} must be {span} with the service offering {offering.name}"
            )
