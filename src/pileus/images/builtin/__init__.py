"""The built-in template: a tiny Linux made of Debian's packages, for the first machine, for tests and for trying.

It boots from its own disk in seconds, even without hardware virtualisation, with 128 MiB of memory.  It gets its
address, name, ssh keys, password and user data from the virtual router, serves a page on port 80 that says its
name, and lets root in by ssh and on the serial console.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from pileus.images.builtin.disk import make_disk
from pileus.images.builtin.packages import BuildError, unpacked
from pileus.images.builtin.tree import make_initramfs, make_root

__all__ = ["BuildError", "build", "cache_folder", "cached"]

OS_TYPE = "Other Linux (64-bit)"


def cache_folder() -> Path:
    """Return where packages and the finished template are kept between clouds."""
    named = os.environ.get("PILEUS_CACHE")
    if named:
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/cache/pileus")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pileus"


def cached(cache: Path | None = None) -> Path:
    """Return the finished template from the cache, built first when this version of it is not there."""
    cache = cache or cache_folder()
    finished = cache / "templates" / f"builtin-{recipe()}.qcow2"
    if not finished.exists():
        finished.parent.mkdir(parents=True, exist_ok=True)
        build(finished, cache)
    return finished


def build(output: Path, cache: Path | None = None) -> None:
    """Build the template and put it in place, whole or not at all.  About two seconds after the downloads."""
    with tempfile.TemporaryDirectory(prefix="pileus-template-") as scratch:
        work = Path(scratch)
        packages = unpacked((cache or cache_folder()) / "packages", work / "packages")
        kernel = next((packages / "boot").glob("vmlinuz-*"), None)
        if kernel is None:
            raise BuildError("the kernel's package holds no /boot/vmlinuz-*")
        fresh = output.with_name(f".{output.name}.{os.getpid()}")
        try:
            make_disk(kernel, make_initramfs(packages, work), make_root(packages, work), work, fresh)
            fresh.replace(output)
        finally:
            fresh.unlink(missing_ok=True)


def recipe() -> str:
    """Return a short hash of everything here that the template is made of."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for file in sorted(here.rglob("*")):
        if file.is_file() and file.suffix != ".pyc":
            digest.update(str(file.relative_to(here)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]
