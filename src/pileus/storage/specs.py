"""Volumes and images as hosts are told of them."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Row

from pileus.storage import pools
from pileus.wire.storage import Image, VolumeSpec


def image(template: Row[Any], copy: Row[Any], base: str) -> Image:
    """Return a template's copy in an image store; ``base`` is where agents fetch images: https://ADDRESS:PORT."""
    return Image(
        uuid=template.uuid,
        url=f"{base}/images/{template.uuid}",
        checksum=f"{{SHA-256}}{copy.sha256}",
        format=template.format.lower(),
        size=copy.physical_size,
        virtual_size=copy.virtual_size or template.size,
    )


def volume(row: Row[Any], in_pool: Row[Any], made_from: Image | None, provisioning: str) -> VolumeSpec:
    """Return a volume that a host is to make; ``provisioning``: thin, sparse or fat."""
    return VolumeSpec(
        uuid=row.uuid,
        pool=pools.wire(in_pool),
        size=row.size,
        image=made_from,
        format=row.format.lower(),
        provisioning=provisioning,
    )
