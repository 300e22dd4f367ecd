"""Primary storage in a directory of the host: qcow2 files over shared templates, or raw files with reflinks.

pool/volumes/UUID.qcow2|raw    pool/templates/UUID.qcow2|raw    pool/…/.UUID.*.tmp while something is made
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import subprocess
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

from pileus.drivers.storage import qcow2
from pileus.drivers.storage.base import Fetch, StorageError, checked
from pileus.wire.storage import Image, Pool, PoolState, VolumeSpec, VolumeState

FORMATS = ("qcow2", "raw")
_PREALLOCATED = {"sparse": "metadata", "fat": "falloc"}  # provisioning -> qemu-img's word
_FICLONE = 0x40049409  # ioctl of linux/fs.h: share all blocks of another file
_NO_REFLINK = {errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL}
_CONVERT_SECONDS = 3600
_SECTOR = 512


class DirectoryStorage:
    """The driver `directory`."""

    kind = "directory"

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._templates: dict[tuple[str, str], threading.Lock] = {}  # (pool, image): one download at a time

    def attach(self, pool: Pool) -> PoolState:
        """Make the pool's folders, check that they can be written to, and remove what a crash left half-made."""
        root = _root(pool)
        try:
            for folder in (root, root / "volumes", root / "templates"):
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(0o711)
            probe = root / f".probe-{uuid.uuid4()}"
            probe.write_bytes(b"probe")
            probe.unlink()
        except OSError as error:
            text = f"the folder {root} cannot be used as primary storage: {error.strerror}"
            raise StorageError("pool-unusable", text, detail=str(error)) from error
        return self.stats(pool)

    def sweep(self, pool: Pool) -> None:
        """Remove what a crash left half-made; only when nothing is being made (at the agent's start)."""
        for leftover in (*_root(pool).glob("volumes/.*.tmp"), *_root(pool).glob("templates/.*.tmp")):
            leftover.unlink(missing_ok=True)

    def stats(self, pool: Pool) -> PoolState:
        """Measure the file system beneath the pool and list the volumes."""
        root = _root(pool)
        try:
            room = os.statvfs(root)
            names = [file for file in (root / "volumes").iterdir() if not file.name.startswith(".")]
        except OSError as error:
            text = f"the pool {pool.uuid} is not there: {root}: {error.strerror}"
            raise StorageError("pool-missing", text, retryable=True) from error
        return PoolState(
            uuid=pool.uuid,
            capacity=room.f_blocks * room.f_frsize,
            used=(room.f_blocks - room.f_bavail) * room.f_frsize,
            volumes=sorted(file.stem for file in names),
        )

    def create(self, spec: VolumeSpec, fetch: Fetch, progress: Callable[[float], None]) -> VolumeState:
        """Make a volume under a temporary name and give it its own when it is complete."""
        if spec.format not in FORMATS:
            raise StorageError("invalid-format", f"volumes here are {' or '.join(FORMATS)}, not {spec.format}")
        root = _root(spec.pool)
        existing = _find(root, spec.uuid)
        if existing is not None:
            return _state(spec.uuid, existing)
        target = root / "volumes" / f"{checked(spec.uuid)}.{spec.format}"
        template = self._template(spec.pool, spec.image, fetch, progress) if spec.image else None
        size = _size(spec, template)
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
        try:
            if spec.format == "raw":
                _make_raw(temporary, size, template)
                if spec.provisioning == "fat":
                    _take_room(temporary, size)
                temporary.rename(target)
            elif spec.provisioning in _PREALLOCATED:
                self._make_own(spec, temporary, size, template)
                temporary.rename(target)
            else:
                self._make_overlay(spec, temporary, target, size, template)
        except OSError as error:
            code = "pool-full" if error.errno == errno.ENOSPC else "volume-create"
            text = f"volume {spec.uuid} cannot be made in {root}: {error.strerror}"
            raise StorageError(code, text, retryable=True) from error
        finally:
            temporary.unlink(missing_ok=True)
        return _state(spec.uuid, target)

    def _make_overlay(self, spec: VolumeSpec, temporary: Path, target: Path, size: int, template: Path | None) -> None:
        """Write the qcow2 file; under the template's lock, so that nobody evicts the template meanwhile."""
        lock = self._template_lock(spec.pool.uuid, spec.image.uuid) if spec.image else contextlib.nullcontext()
        with lock:
            if template is not None and not template.exists():
                text = f"the template of volume {spec.uuid} was evicted just now; try again"
                raise StorageError("image-evicted", text, retryable=True)
            qcow2.write(temporary, size, template, _format(template) if template else "")
            temporary.rename(target)

    def _make_own(self, spec: VolumeSpec, temporary: Path, size: int, template: Path | None) -> None:
        """Write a qcow2 file that shares nothing with its template, with its tables or all of its room taken."""
        word = _PREALLOCATED[spec.provisioning]
        options = ["-q", "-o", f"preallocation={word}"]
        if template is None:
            _qemu_img(["create", *options, "-f", "qcow2", str(temporary), str(size)], _CONVERT_SECONDS)
            return
        lock = self._template_lock(spec.pool.uuid, spec.image.uuid) if spec.image else contextlib.nullcontext()
        with lock:
            if not template.exists():
                text = f"the template of volume {spec.uuid} was evicted just now; try again"
                raise StorageError("image-evicted", text, retryable=True)
            source = ["-f", _format(template), "-O", "qcow2", str(template), str(temporary)]
            _qemu_img(["convert", *options, *source], _CONVERT_SECONDS)
        header = qcow2.read(temporary)
        if header is None or size > header.size:
            grow = ["--preallocation=" + word, str(temporary), str(size)]
            _qemu_img(["resize", "-q", "-f", "qcow2", *grow], _CONVERT_SECONDS)

    def delete(self, pool: Pool, volume: str) -> None:
        """Delete the volume's file."""
        for kind in FORMATS:
            (_root(pool) / "volumes" / f"{checked(volume)}.{kind}").unlink(missing_ok=True)

    def resize(self, pool: Pool, volume: str, size: int) -> VolumeState:
        """Grow the volume's file; a smaller size is refused, as it would cut off data."""
        path = self._existing(pool, volume)
        before = _state(volume, path)
        if size < before.size:
            text = f"volume {volume} has {before.size} bytes and cannot shrink to {size}"
            raise StorageError("invalid-size", text)
        if size > before.size:
            _qemu_img(["resize", "-q", "-f", path.suffix[1:], str(path), str(size)], 60)
        return _state(volume, path)

    def stat(self, pool: Pool, volume: str) -> VolumeState:
        """Look at the volume's file."""
        return _state(volume, self._existing(pool, volume))

    def evict(self, pool: Pool, image: str) -> None:
        """Delete the pool's copy of an image, unless a volume reads from it."""
        root = _root(pool)
        with self._template_lock(pool.uuid, checked(image)):
            for kind in FORMATS:
                copy = root / "templates" / f"{image}.{kind}"
                users = [file.stem for file in (root / "volumes").glob("*.qcow2") if _backed_by(file, copy)]
                if users:
                    text = f"image {image} is in use by {len(users)} volumes of pool {pool.uuid}"
                    raise StorageError("image-in-use", text, detail=", ".join(users[:20]))
                copy.unlink(missing_ok=True)

    def _template(self, pool: Pool, image: Image, fetch: Fetch, progress: Callable[[float], None]) -> Path:
        """Return the pool's copy of an image; the first who wants it fetches it, the others wait for that."""
        if image.format not in FORMATS:
            raise StorageError("invalid-format", f"images here are {' or '.join(FORMATS)}, not {image.format}")
        target = _root(pool) / "templates" / f"{checked(image.uuid)}.{image.format}"
        with self._template_lock(pool.uuid, image.uuid):
            if target.exists():
                return target
            temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
            try:
                fetch(image, temporary, progress)
                _check_image(image, temporary)
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
                temporary.chmod(0o644)
                temporary.rename(target)
            except OSError as error:
                text = f"image {image.uuid} cannot be kept in {target.parent}: {error.strerror}"
                raise StorageError("pool-full", text, retryable=True) from error
            finally:
                temporary.unlink(missing_ok=True)
        return target

    def _template_lock(self, pool: str, image: str) -> threading.Lock:
        with self._guard:
            return self._templates.setdefault((pool, image), threading.Lock())

    def _existing(self, pool: Pool, volume: str) -> Path:
        path = _find(_root(pool), volume)
        if path is None:
            raise StorageError("volume-missing", f"there is no volume {volume} in pool {pool.uuid}")
        return path


def _root(pool: Pool) -> Path:
    """Return the pool's folder; it must be absolute and say plainly where it is."""
    path = Path(pool.path)
    if not path.is_absolute() or ".." in path.parts or len(path.parts) < 3:
        text = f"{pool.path!r} is no folder for a pool: give an absolute path of two parts or more"
        raise StorageError("invalid-path", text)
    return path


def _find(root: Path, volume: str) -> Path | None:
    candidates = (root / "volumes" / f"{checked(volume)}.{kind}" for kind in FORMATS)
    return next((path for path in candidates if path.exists()), None)


def _format(path: Path) -> str:
    return path.suffix[1:]


def _virtual_size(path: Path) -> int:
    header = qcow2.read(path) if _format(path) == "qcow2" else None
    return header.size if header else path.stat().st_size


def _state(volume: str, path: Path) -> VolumeState:
    return VolumeState(
        uuid=volume,
        path=str(path),
        size=_virtual_size(path),
        physical=path.stat().st_blocks * _SECTOR,
    )


def _size(spec: VolumeSpec, template: Path | None) -> int:
    """Return the size of a new volume: what is asked for, at least the template's (0 = as the template)."""
    least = _virtual_size(template) if template else 0
    size = spec.size or least
    if size <= 0 or size < least:
        text = f"volume {spec.uuid} of {spec.size} bytes is smaller than its template ({least} bytes)"
        raise StorageError("invalid-size", text if least else f"volume {spec.uuid} must have a size")
    return -(-size // _SECTOR) * _SECTOR


def _make_raw(target: Path, size: int, template: Path | None) -> None:
    """Make a raw volume: sparse when blank; shared blocks where the file system can, else a copy."""
    if template is None:
        with target.open("xb") as file:
            file.truncate(size)
        return
    if _format(template) == "qcow2":
        _qemu_img(["convert", "-q", "-f", "qcow2", "-O", "raw", str(template), str(target)], _CONVERT_SECONDS)
    else:
        with template.open("rb") as source, target.open("xb") as file:
            try:
                fcntl.ioctl(file.fileno(), _FICLONE, source.fileno())
            except OSError as error:
                if error.errno not in _NO_REFLINK:
                    raise
                shutil.copyfileobj(source, file, 1024 * 1024)
    os.truncate(target, size)


def _take_room(path: Path, size: int) -> None:
    """Have the file system set aside all of a file's room."""
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, size)


def _check_image(image: Image, path: Path) -> None:
    """Refuse an image that would read other files of the host, or is not what it is said to be."""
    header = qcow2.read(path)
    if image.format == "qcow2":
        if header is None:
            raise StorageError("image-format", f"image {image.uuid} is no qcow2 file")
        if header.backing or header.external_data:
            raise StorageError("image-unsafe", f"image {image.uuid} refers to another file; flatten it first")


def _backed_by(volume: Path, template: Path) -> bool:
    header = qcow2.read(volume)
    return header is not None and header.backing == str(template)


def _qemu_img(arguments: list[str], seconds: int) -> None:
    try:
        subprocess.run(["qemu-img", *arguments], check=True, capture_output=True, timeout=seconds, text=True)
    except subprocess.CalledProcessError as error:
        text = f"qemu-img {arguments[0]} failed"
        raise StorageError("qemu-img", text, retryable=True, detail=error.stderr[-500:]) from error
    except subprocess.TimeoutExpired as error:
        text = f"qemu-img {arguments[0]} was not done in {seconds} s"
        raise StorageError("qemu-img", text, retryable=True) from error
