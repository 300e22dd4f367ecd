"""Settings of the sizes of disks, which several slices keep to."""

from __future__ import annotations

from pileus.core.settings import declare

SMALLEST_DISK = declare("custom.diskoffering.size.min", int, 1, "GiB of a disk of custom size, at least", minimum=1)
LARGEST_DISK = declare("custom.diskoffering.size.max", int, 1024, "GiB of a disk of custom size, at most", minimum=1)
LARGEST_VOLUME = declare("storage.max.volume.size", int, 2000, "GiB of any volume, at most", minimum=1)
