"""What a primary storage driver does; one small Protocol, and the errors that all drivers share."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from pileus.wire.storage import Image, Pool, PoolState, VolumeSpec, VolumeState

Fetch = Callable[[Image, Path, Callable[[float], None]], None]  # image, target file, progress


class StorageError(Exception):
    """Why the storage cannot do it: a stable code, one sentence, and whether another try may help."""

    def __init__(self, code: str, message: str, *, retryable: bool = False, detail: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.detail = detail


class Storage(Protocol):
    """A kind of primary storage; every method is idempotent, and a driver keeps no state of its own."""

    kind: str

    def attach(self, pool: Pool) -> PoolState:
        """Make the pool usable on this host, and check that it is."""
        ...

    def sweep(self, pool: Pool) -> None:
        """Remove what a crash left half-made; nothing else is at work on the pool."""
        ...

    def stats(self, pool: Pool) -> PoolState:
        """Measure the pool."""
        ...

    def create(self, spec: VolumeSpec, fetch: Fetch, progress: Callable[[float], None]) -> VolumeState:
        """Make a volume, blank or from an image, which is fetched once for the pool; all of it or nothing."""
        ...

    def delete(self, pool: Pool, volume: str) -> None:
        """Delete a volume; one that is not there is deleted already."""
        ...

    def resize(self, pool: Pool, volume: str, size: int) -> VolumeState:
        """Grow a volume that no running machine uses to `size` bytes; a smaller size is refused."""
        ...

    def stat(self, pool: Pool, volume: str) -> VolumeState:
        """Look at a volume."""
        ...

    def evict(self, pool: Pool, image: str) -> None:
        """Forget the pool's copy of an image; refused while a volume is made from it."""
        ...


def checked(identifier: str) -> str:
    """Return a volume's or image's uuid in its one spelling; anything else is refused, as it becomes a file name."""
    try:
        plain = str(uuid.UUID(identifier))
    except ValueError as error:
        raise StorageError("invalid-uuid", f"{identifier!r} is not a uuid") from error
    if plain != identifier:
        raise StorageError("invalid-uuid", f"{identifier!r} is not a uuid in its usual spelling, {plain}")
    return plain
