"""Settings of images."""

from __future__ import annotations

from pileus.core.settings import declare

LARGEST_IMAGE = declare("max.template.iso.size", int, 50, "largest template that is downloaded, in GiB", minimum=1)
