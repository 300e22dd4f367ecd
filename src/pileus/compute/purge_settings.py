"""Settings of purging, under CloudStack's names."""

from __future__ import annotations

from datetime import UTC, datetime

from pileus.core.settings import declare

_FORMATS = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S")


def moment_of(text: str) -> float | None:
    """Return the moment that the setting START names, in seconds since the epoch; None when it is empty."""
    if not text.strip():
        return None
    for form in _FORMATS:
        try:
            return datetime.strptime(text.strip(), form).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    raise ValueError("must be yyyy-MM-dd or yyyy-MM-dd HH:mm:ss")


ENABLED = declare("expunged.resources.purge.enabled", bool, False, "purge the records of expunged resources regularly")
RESOURCES = declare(
    "expunged.resources.purge.resources",
    str,
    "",
    "types of resources that are purged: VirtualMachine; empty = all",
    options=("", "VirtualMachine"),
)
INTERVAL = declare("expunged.resources.purge.interval", int, 86_400, "seconds between two purges", minimum=1)
DELAY = declare(
    "expunged.resources.purge.delay", int, 300, "seconds from the start of a server to the first purge", minimum=0
)
BATCH = declare(
    "expunged.resources.purge.batch.size",
    int,
    50,
    "resources that are purged in one transaction",
    minimum=1,
    maximum=10_000,
)
START = declare(
    "expunged.resources.purge.start.time",
    str,
    "",
    "what was expunged before is not purged: yyyy-MM-dd or yyyy-MM-dd HH:mm:ss, in UTC; empty = no such time",
    check=moment_of,
)
KEEP_DAYS = declare(
    "expunged.resources.purge.keep.past.days",
    int,
    30,
    "days that the records of expunged resources are kept",
    minimum=0,
)
JOB_DELAY = declare(
    "expunged.resource.purge.job.delay",
    int,
    180,
    "seconds after which an expunged machine is purged whose service offering has purgeresources=true; at least 180",
    minimum=0,
)
