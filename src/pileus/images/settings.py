"""Settings of images."""

from __future__ import annotations

from pileus.core.settings import declare

MANAGEMENT_ADDRESS = declare(
    "host", str, "127.0.0.1", "address of the management server, as hosts reach it (images are fetched from there)"
)
LARGEST_IMAGE = declare("max.template.iso.size", int, 50, "largest template that is downloaded, in GiB", minimum=1)
