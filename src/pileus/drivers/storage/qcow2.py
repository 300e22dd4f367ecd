"""Headers of qcow2 files, version 3, as QEMU's docs/interop/qcow2.txt specifies them.

An empty image, with or without a backing file, is a header, a refcount table, one refcount block and a zeroed
L1 table: a few hundred bytes in a sparse file.  Writing them here takes well under a millisecond, however busy the
machine is and however large the disk; starting qemu-img for it takes 10 to 50.
"""

from __future__ import annotations

import dataclasses
import os
import struct
from pathlib import Path

MAGIC = 0x514649FB  # "QFI\xfb"
CLUSTER_BITS = 16
CLUSTER = 1 << CLUSTER_BITS
_HEADER = struct.Struct(">IIQIIQIIQQIIQ")  # the 72 bytes of version 2
_HEADER_3 = struct.Struct(">QQQII")  # feature bits, refcount order, header length
_HEADER_BYTES = 104
_BACKING_FORMAT = 0xE2792ACA  # header extension: name of the backing file's format
_INCOMPATIBLE_DATA_FILE = 1 << 2
_LARGEST_BACKING = 1023
_BYTES_PER_L1_ENTRY = CLUSTER * (CLUSTER // 8)  # 512 MiB: one L2 table of cluster pointers
_REFCOUNTS_PER_BLOCK = CLUSTER // 2


@dataclasses.dataclass(frozen=True)
class Header:
    """What a qcow2 file says of itself: size in bytes, the name of its backing file or "", other data file."""

    size: int
    backing: str
    external_data: bool


def read(path: Path) -> Header | None:
    """Read a file's header; None when it is no qcow2 file."""
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
        if len(head) < _HEADER.size:
            return None
        magic, version, at, length, _, size, *_ = _HEADER.unpack_from(head)
        if magic != MAGIC or version not in {2, 3}:
            return None
        features = 0
        if version == 3 and len(head) == _HEADER_BYTES:
            features = _HEADER_3.unpack_from(head, _HEADER.size)[0]
        backing = b""
        if at:
            file.seek(at)
            backing = file.read(min(length, _LARGEST_BACKING))
    return Header(size, backing.decode(errors="replace"), bool(features & _INCOMPATIBLE_DATA_FILE))


def write(path: Path, size: int, backing: Path | None = None, backing_format: str = "qcow2") -> None:
    """Write an empty image of `size` bytes to a new file; reads fall through to `backing` when that is given."""
    name = str(backing).encode() if backing is not None else b""
    if len(name) > _LARGEST_BACKING:
        raise ValueError(f"the path of the backing file is longer than {_LARGEST_BACKING} bytes: {backing}")
    entries = max(1, -(-size // _BYTES_PER_L1_ENTRY))
    l1_clusters = -(-entries * 8 // CLUSTER)
    clusters = 3 + l1_clusters  # header, refcount table, refcount block, L1 table
    if clusters > _REFCOUNTS_PER_BLOCK:
        raise ValueError(f"a disk of {size} bytes is larger than this writer can describe")
    extensions = b""
    if name:
        tag = backing_format.encode()
        extensions += struct.pack(">II", _BACKING_FORMAT, len(tag)) + tag.ljust(-(-len(tag) // 8) * 8, b"\0")
    extensions += struct.pack(">II", 0, 0)
    at = _HEADER_BYTES + len(extensions) if name else 0
    header = _HEADER.pack(MAGIC, 3, at, len(name), CLUSTER_BITS, size, 0, entries, 3 * CLUSTER, CLUSTER, 1, 0, 0)
    header += _HEADER_3.pack(0, 0, 0, 4, _HEADER_BYTES) + extensions + name
    with path.open("xb") as file:
        file.write(header)
        file.seek(CLUSTER)
        file.write(struct.pack(">Q", 2 * CLUSTER))
        file.seek(2 * CLUSTER)
        file.write(struct.pack(">H", 1) * clusters)
        file.truncate(clusters * CLUSTER)
        file.flush()
        os.fsync(file.fileno())
