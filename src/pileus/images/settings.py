"""Settings of images."""

from __future__ import annotations

from pileus.core.settings import declare

LARGEST_IMAGE = declare("max.template.iso.size", int, 50, "largest template that is downloaded, in GiB", minimum=1)
IMBALANCE = declare(
    "image.store.imbalance.threshold",
    float,
    0.3,
    "standard deviation (0 to 1) of how full image stores are, from which on a migration balances them",
    minimum=0,
    maximum=1,
)
