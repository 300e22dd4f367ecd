"""Primary storage, volumes and templates, as a host handles them."""

from __future__ import annotations

import msgspec


class Pool(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A primary storage, as a host reaches it."""

    uuid: str
    kind: str  # driver: "directory", later nfs, iscsi, rbd
    path: str = ""
    host: str = ""
    options: dict[str, str] = {}


class Image(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A template or ISO in an image store."""

    uuid: str
    url: str  # where the agent fetches it (HTTPS, its own certificate)
    checksum: str  # "{SHA-256}hex" of the file in the store
    format: str = "qcow2"
    size: int = 0  # bytes of the file
    virtual_size: int = 0  # bytes of the disk


class VolumeSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A volume to make."""

    uuid: str
    pool: Pool
    size: int  # bytes
    image: Image | None = None  # the template that it is cloned from
    format: str = "qcow2"
    provisioning: str = "thin"  # shares the template's blocks; "sparse": its own file, "fat": and all of its room taken


class VolumeState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A volume as it is."""

    uuid: str
    path: str
    size: int  # bytes the guest sees
    physical: int = 0  # bytes on the storage


class PoolState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Room in a primary storage."""

    uuid: str
    capacity: int  # bytes
    used: int  # bytes
    volumes: list[str] = []  # uuids of the volumes that are there


class VolumeRef(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Arguments of volume.delete and volume.stat."""

    pool: Pool
    uuid: str


class VolumeResize(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Arguments of volume.resize."""

    pool: Pool
    uuid: str
    size: int  # bytes


class ImageRef(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Arguments of image.evict: forget a pool's copy of an image."""

    pool: Pool
    uuid: str
