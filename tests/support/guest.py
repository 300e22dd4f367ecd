"""A guest of 512 bytes: it prints READY on its serial port and powers off when the ACPI power button is pressed."""

from __future__ import annotations

from pathlib import Path

# 16-bit code at 0x7c00, for the chipset of QEMU's machine "pc", whose power management the BIOS puts at port 0x600.
_CODE = bytes.fromhex(
    "31c08ed8"  # xor ax,ax; mov ds,ax
    "be2f7c"  # mov si,message
    "ac84c07406"  # next: lodsb; test al,al; jz ready
    "baf803eeebf5"  # mov dx,COM1; out dx,al; jmp next
    "ba0206b80001ef"  # ready: enable the power button's event (PM1_EN bit 8)
    "fb"  # sti
    "f4"  # wait: hlt, until the timer's interrupt
    "ba0006ed"  # in ax,PM1_STS
    "f6c40174f6"  # test ah,1; jz wait
    "ba0406b80020ef"  # soft off: SLP_EN in PM1_CNT
    "faf4ebfc"  # cli; hlt, for ever
)
READY = b"READY"


def write_disk(path: Path, message: bytes = READY, *, deaf: bool = False) -> Path:
    """Write a raw disk of 1 MiB that boots the guest; a deaf one does not notice the power button."""
    code = _CODE[: _CODE.index(b"\xfb")] + b"\xfa\xf4\xeb\xfc" if deaf else _CODE
    sector = (code.ljust(len(_CODE), b"\0") + message + b"\r\n\0").ljust(510, b"\0") + b"\x55\xaa"
    path.write_bytes(sector.ljust(1 << 20, b"\0"))
    return path
