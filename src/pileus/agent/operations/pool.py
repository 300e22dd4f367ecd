"""Operations on primary storage pools; the agent remembers which it has, for its reports."""

from __future__ import annotations

from pathlib import Path

import msgspec
import structlog

from pileus.agent import kept
from pileus.agent.context import AgentContext
from pileus.agent.operations.volume import translated
from pileus.agent.registry import Progress, operation
from pileus.drivers import storage
from pileus.drivers.storage.base import StorageError, checked
from pileus.wire.storage import Pool, PoolState

log = structlog.get_logger(__name__)


@operation("pool.attach")
def attach(context: AgentContext, arguments: Pool, progress: Progress) -> PoolState:
    """Make a pool usable on this host."""
    progress(0.0)
    with translated():
        checked(arguments.uuid)
        state = storage.driver(arguments.kind).attach(arguments)
    folder = context.data / "pools"
    folder.mkdir(exist_ok=True, mode=0o700)
    kept.write(folder / f"{arguments.uuid}.json", msgspec.json.encode(arguments), durable=True)
    return state


@operation("pool.stats")
def stats(context: AgentContext, arguments: Pool, progress: Progress) -> PoolState:
    """Measure a pool."""
    del context
    progress(0.0)
    with translated():
        return storage.driver(arguments.kind).stats(arguments)


@operation("pool.detach")
def detach(context: AgentContext, arguments: Pool, progress: Progress) -> None:
    """Report a pool no longer; what is in it stays."""
    progress(0.0)
    with translated():
        (context.data / "pools" / f"{checked(arguments.uuid)}.json").unlink(missing_ok=True)


def list_pools(data: Path) -> list[PoolState]:
    """Measure all pools of this host; one that cannot be measured is logged and left out."""
    states: list[PoolState] = []
    for file in sorted((data / "pools").glob("*.json")):
        pool = msgspec.json.decode(file.read_bytes(), type=Pool)
        try:
            states.append(storage.driver(pool.kind).stats(pool))
        except StorageError as error:
            log.error("a pool cannot be measured", pool=pool.uuid, why=str(error))  # noqa: TRY400
    return states


def sweep(data: Path) -> None:
    """Remove from all pools of this host what a crash left half-made; nothing may be at work on them."""
    for file in (data / "pools").glob("*.json"):
        pool = msgspec.json.decode(file.read_bytes(), type=Pool)
        try:
            storage.driver(pool.kind).sweep(pool)
        except StorageError as error:
            log.error("a pool cannot be swept", pool=pool.uuid, why=str(error))  # noqa: TRY400
