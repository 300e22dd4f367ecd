"""An empty qcow2 disk, written without any tool: the template of simulated machines, which never boot."""

from __future__ import annotations

import struct
from pathlib import Path

CLUSTER_BITS = 16
CLUSTER = 1 << CLUSTER_BITS
ENTRIES_L2 = CLUSTER // 8


def write_stub(file: Path, size: int) -> None:
    """Write a qcow2 (version 3, see QEMU's docs/interop/qcow2.txt) of `size` bytes that holds nothing.

    Four clusters: header, reference-count table, reference counts, first-level table.
    """
    tables = -(-size // (CLUSTER * ENTRIES_L2))
    if tables > CLUSTER // 8:
        raise ValueError(f"a stub is at most {CLUSTER * ENTRIES_L2 * (CLUSTER // 8)} bytes, not {size}")
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII",
        b"QFI\xfb", 3, 0, 0, CLUSTER_BITS, size, 0, tables, 3 * CLUSTER, CLUSTER, 1, 0, 0, 0, 0, 0, 4, 104,
    )  # fmt: skip
    count_table = struct.pack(">Q", 2 * CLUSTER)
    counts = struct.pack(">4H", 1, 1, 1, 1)
    file.write_bytes(b"".join(part.ljust(CLUSTER, b"\0") for part in (header, count_table, counts, b"")))
