"""Disk image formats: what a downloaded file must look like before a host may open it.

The qcow2 header is read as its specification says (QEMU project, docs/interop/qcow2.txt).  An image that names a
backing file or an external data file is refused: a host would open whatever file it names.
"""

from __future__ import annotations

import struct
from pathlib import Path

import msgspec

MAGIC = b"QFI\xfb"
_HEADER = struct.Struct(">4sIQIIQ")  # magic, version, backing offset, backing length, cluster bits, size
_EXTERNAL_DATA = 1 << 2  # incompatible feature
_KNOWN_INCOMPATIBLE = 0b11011  # dirty, corrupt, compression type, extended L2 entries
_SECTOR = 512
_MOST = 1 << 46


class ImageRefused(Exception):
    """A file that is not an image of the promised format, or not a safe one."""


class Inspected(msgspec.Struct, frozen=True):
    """What an image is."""

    virtual_size: int  # bytes of the disk that a guest sees


def inspect(file: Path, format_: str) -> Inspected:
    """Return what the file is; raises ImageRefused when it is not of the format QCOW2 or RAW."""
    with file.open("rb") as stream:
        head = stream.read(104)
    if format_ == "QCOW2":
        return _qcow2(head)
    if head.startswith(MAGIC):
        raise ImageRefused("the file is a QCOW2 image, not a RAW one: register it with format=QCOW2")
    size = file.stat().st_size
    if size == 0 or size % _SECTOR:
        raise ImageRefused(f"a RAW image is a whole number of {_SECTOR}-byte sectors, this file has {size} bytes")
    return Inspected(size)


def _qcow2(head: bytes) -> Inspected:
    if len(head) < _HEADER.size or not head.startswith(MAGIC):
        raise ImageRefused("the file is not a QCOW2 image (its first bytes are others)")
    _magic, version, backing_offset, backing_length, cluster_bits, size = _HEADER.unpack_from(head)
    if version not in (2, 3):
        raise ImageRefused(f"QCOW2 version {version} is not known; convert the image with qemu-img")
    if backing_offset or backing_length:
        raise ImageRefused("the image has a backing file; flatten it with qemu-img convert")
    if version == 3:
        incompatible = struct.unpack_from(">Q", head, 72)[0] if len(head) >= 80 else 0
        if incompatible & _EXTERNAL_DATA:
            raise ImageRefused("the image keeps its data in another file; flatten it with qemu-img convert")
        if incompatible & ~_KNOWN_INCOMPATIBLE:
            raise ImageRefused(f"the image uses unknown features ({incompatible:#x}); convert it with qemu-img")
    if not 9 <= cluster_bits <= 21 or not 0 < size <= _MOST:
        raise ImageRefused("the image's header is damaged")
    return Inspected(size)
