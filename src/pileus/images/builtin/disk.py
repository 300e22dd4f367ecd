"""The disk image: a boot partition (FAT, syslinux) and the root disk (ext4), put together without any mount."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

from pileus.images.builtin.packages import BuildError, run

MIB = 1 << 20
SECTOR = 512
BOOT_START, BOOT_SIZE = 1 * MIB, 24 * MIB
ROOT_START, ROOT_SIZE = BOOT_START + BOOT_SIZE, 103 * MIB
DISK_SIZE = ROOT_START + ROOT_SIZE
MASTER_BOOT_RECORD = Path("/usr/lib/SYSLINUX/mbr.bin")
SYSLINUX_CFG = """DEFAULT pileus
PROMPT 0
TIMEOUT 0
LABEL pileus
  LINUX /vmlinuz
  INITRD /initrd.gz
  APPEND console=ttyS0,115200 quiet panic=10
"""


def make_disk(kernel: Path, initramfs: Path, root: Path, work: Path, output: Path) -> None:
    """Write a compressed qcow2 that boots from BIOS."""
    boot = _boot_partition(kernel, initramfs, work)
    system = _root_partition(root, work)
    raw = work / "disk.raw"
    with raw.open("wb") as disk:
        disk.truncate(DISK_SIZE)
        disk.write(_partition_table())
        for start, part in ((BOOT_START, boot), (ROOT_START, system)):
            disk.seek(start)
            with part.open("rb") as source:
                shutil.copyfileobj(source, disk, MIB)
    run("qemu-img", "convert", "-q", "-c", "-f", "raw", "-O", "qcow2", raw, output)


def _boot_partition(kernel: Path, initramfs: Path, work: Path) -> Path:
    image = work / "boot.img"
    with image.open("wb") as file:
        file.truncate(BOOT_SIZE)
    sectors = BOOT_SIZE // SECTOR
    # -H: the boot loader reads the disk through the BIOS and must know where the partition begins
    run(
        "mformat", "-i", image, "-h", "64", "-s", "32", "-T", str(sectors),
        "-H", str(BOOT_START // SECTOR), "-v", "PILEUS", "-N", "50494c45", "::",
    )  # fmt: skip
    settings = work / "syslinux.cfg"
    settings.write_text(SYSLINUX_CFG)
    run("mcopy", "-i", image, kernel, "::vmlinuz")
    run("mcopy", "-i", image, initramfs, "::initrd.gz")
    run("mcopy", "-i", image, settings, "::syslinux.cfg")
    run("syslinux", "--install", image)
    return image


def _root_partition(root: Path, work: Path) -> Path:
    image = work / "root.img"
    with image.open("wb") as file:
        file.truncate(ROOT_SIZE)
    run(
        "mke2fs", "-q", "-t", "ext4", "-L", "root", "-m", "1", "-O", "^metadata_csum,^64bit,^orphan_file",
        "-J", "size=4", "-E", "lazy_itable_init=0,root_owner=0:0", "-d", root, image,
    )  # fmt: skip
    return image


def _partition_table() -> bytes:
    if not MASTER_BOOT_RECORD.exists():
        raise BuildError(f"{MASTER_BOOT_RECORD} is missing (package syslinux): run scripts/bootstrap")
    code = MASTER_BOOT_RECORD.read_bytes()[:440].ljust(440, b"\0")
    entries = _entry(0x80, 0x0E, BOOT_START, BOOT_SIZE) + _entry(0x00, 0x83, ROOT_START, ROOT_SIZE)
    return code + struct.pack("<IH", 0x50494C45, 0) + entries.ljust(64, b"\0") + b"\x55\xaa"


def _entry(flag: int, kind: int, start: int, size: int) -> bytes:
    """Return one of the four entries; the old cylinder numbers say "beyond", as LBA is what counts."""
    beyond = b"\xfe\xff\xff"
    return struct.pack("<B3sB3sII", flag, beyond, kind, beyond, start // SECTOR, size // SECTOR)
