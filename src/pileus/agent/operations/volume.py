"""Operations on volumes, and on a pool's copies of images."""

from __future__ import annotations

import contextlib

from pileus.agent.context import AgentContext
from pileus.agent.registry import OperationError, Progress, operation
from pileus.drivers import storage
from pileus.drivers.hypervisors.base import HypervisorError
from pileus.drivers.storage.base import Fetch, StorageError
from pileus.wire.storage import ImageRef, VolumeRef, VolumeResize, VolumeSpec, VolumeState


@operation("volume.create")
def create(context: AgentContext, arguments: VolumeSpec, progress: Progress) -> VolumeState:
    """Make a volume, blank or from an image."""
    with translated():
        return storage.driver(arguments.pool.kind).create(arguments, _fetch(context), progress)


@operation("volume.delete")
def delete(context: AgentContext, arguments: VolumeRef, progress: Progress) -> None:
    """Delete a volume."""
    del context
    progress(0.0)
    with translated():
        storage.driver(arguments.pool.kind).delete(arguments.pool, arguments.uuid)


@operation("volume.resize")
def resize(context: AgentContext, arguments: VolumeResize, progress: Progress) -> VolumeState:
    """Grow a volume: by the running machine that uses it, which sees the new size at once, else its file."""
    progress(0.0)
    driver = storage.driver(arguments.pool.kind)
    with translated():
        before = driver.stat(arguments.pool, arguments.uuid)
        if context.hypervisor is not None and arguments.size > before.size:
            try:
                grown = context.hypervisor.grow_disk(before.path, arguments.size)
            except HypervisorError as error:
                raise OperationError(error.code, error.message, error.retryable, error.detail) from error
            if grown:
                return driver.stat(arguments.pool, arguments.uuid)
        return driver.resize(arguments.pool, arguments.uuid, arguments.size)


@operation("volume.stat")
def stat(context: AgentContext, arguments: VolumeRef, progress: Progress) -> VolumeState:
    """Look at a volume."""
    del context
    progress(0.0)
    with translated():
        return storage.driver(arguments.pool.kind).stat(arguments.pool, arguments.uuid)


@operation("image.evict")
def evict(context: AgentContext, arguments: ImageRef, progress: Progress) -> None:
    """Forget a pool's copy of an image."""
    del context
    progress(0.0)
    with translated():
        storage.driver(arguments.pool.kind).evict(arguments.pool, arguments.uuid)


@contextlib.contextmanager
def translated():
    """Turn errors of the storage into those of operations."""
    try:
        yield
    except StorageError as error:
        raise OperationError(error.code, error.message, error.retryable, error.detail) from error


def _fetch(context: AgentContext) -> Fetch:
    if context.fetch is None:
        raise OperationError("no-image-store", "this agent cannot fetch images yet", retryable=True)
    return context.fetch
