"""Kernel settings of the calling thread's network namespace."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path("/proc/sys")


def read(name: str) -> str:
    """Return a setting's value; "" when this kernel has no such setting."""
    try:
        return (_ROOT / name).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""


def write(name: str, value: str) -> bool:
    """Give a setting its value; returns whether it had another one before."""
    if read(name) in ("", value):
        return False
    (_ROOT / name).write_text(value, encoding="ascii")
    return True


def disable_ipv6(link: str) -> None:
    """Keep the kernel from giving a link an address of its own by which guests could reach the host."""
    write(f"net/ipv6/conf/{link}/disable_ipv6", "1")
