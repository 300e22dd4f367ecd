"""Debian packages as building material: fetched once into a cache, unpacked without being installed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

META_KERNEL = "linux-image-cloud-amd64"
LIBRARIES = ("libc6", "libcrypt1", "libgmp10", "libtomcrypt1", "libtommath1", "zlib1g")
PROGRAMS = ("busybox-static", "dropbear-bin")


class BuildError(Exception):
    """The template cannot be built; the text says why and what to do."""


def run(*command: str | Path, cwd: Path | None = None, stdin: str | None = None, limit: float = 300) -> str:
    """Run a program and return what it printed; BuildError with its complaint when it fails."""
    arguments = [str(part) for part in command]
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive", "MTOOLS_SKIP_CHECK": "1"}
    try:
        done = subprocess.run(
            arguments, cwd=cwd, input=stdin, capture_output=True, text=True, timeout=limit, env=environment,
            check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise BuildError(f"{arguments[0]} is not installed: run scripts/bootstrap") from error
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{' '.join(arguments)} did not end within {limit:.0f} s") from error
    if done.returncode != 0:
        complaint = (done.stderr or done.stdout).strip()[-500:]
        raise BuildError(f"{' '.join(arguments)} failed with code {done.returncode}: {complaint}")
    return done.stdout


def unpacked(cache: Path, into: Path) -> Path:
    """Fetch what the cache lacks, unpack all of it into one tree, and return that."""
    cache.mkdir(parents=True, exist_ok=True)
    kernel = _cached_kernel(cache) or _newest_kernel()
    names = (kernel, *LIBRARIES, *PROGRAMS)
    missing = [name for name in names if _cached(cache, name) is None]
    if missing:
        _download(cache, missing)
    for name in names:
        package = _cached(cache, name)
        if package is None:
            raise BuildError(f"apt-get downloaded no {name} into {cache}")
        run("dpkg-deb", "-x", package, into)
    return into


def _cached(cache: Path, name: str) -> Path | None:
    return max(cache.glob(f"{name}_*.deb"), key=lambda file: file.stat().st_mtime, default=None)


def _cached_kernel(cache: Path) -> str:
    newest = max(cache.glob("linux-image-*-cloud-amd64_*.deb"), key=lambda f: f.stat().st_mtime, default=None)
    return newest.name.split("_")[0] if newest else ""


def _newest_kernel() -> str:
    """Return the package that the kernel's metapackage stands for now, such as linux-image-6.1.0-1-cloud-amd64."""
    problem = ""
    for _ in _with_fresh_lists():
        try:
            answer = run("apt-cache", "depends", "--important", META_KERNEL)
        except BuildError as error:
            problem = f": {error}"
            continue
        for line in answer.splitlines():
            relation, _, name = line.strip().partition(" ")
            if relation == "Depends:" and name.startswith("linux-image-"):
                return name
    raise BuildError(f"apt knows no package {META_KERNEL}; are Debian's sources set up in /etc/apt?{problem}")


def _download(cache: Path, names: list[str]) -> None:
    problem: BuildError | None = None
    for _ in _with_fresh_lists():
        try:
            run("apt-get", "download", "-q", *names, cwd=cache)
        except BuildError as error:
            problem = error  # old package lists name files that the mirror has no more
        else:
            return
    raise BuildError(f"the packages of the template cannot be fetched: {problem}")


def _with_fresh_lists() -> Iterator[None]:
    """Yield once, and once more after the package lists were renewed when root asks."""
    yield
    if os.geteuid() == 0:
        run("apt-get", "update", "-q")
        yield
