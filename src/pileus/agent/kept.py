"""What the agent keeps on disk of the network: desired states that it can bring back alone after a reboot.

Under the agent's data folder: `routers/NAME/spec.json`, `segments/BRIDGE.json`, `public.json`; all with mode 0600,
as a router's state holds passwords.  What a reboot makes void lies in /run.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TypeVar

import msgspec

from pileus.agent.context import AgentContext
from pileus.wire.router import RouterSpec
from pileus.wire.segments import PublicNetwork, Segment

T = TypeVar("T")


class KeptRouter(msgspec.Struct, frozen=True, kw_only=True):
    """A router's newest specification, and whether it should run."""

    spec: RouterSpec
    running: bool = True


class KeptSegment(msgspec.Struct, frozen=True, kw_only=True):
    """A segment, and who said that he uses it."""

    segment: Segment
    holders: list[str] = []


def run_folder(context: AgentContext) -> Path:
    """Return the cloud's folder for sockets and pid files, made when missing; others may look in, not write."""
    folder = Path("/run") / f"pileus-{context.prefix}"
    folder.mkdir(mode=0o755, exist_ok=True)
    return folder


def router_folder(context: AgentContext, name: str) -> Path:
    """Return the folder of a router."""
    return context.data / "routers" / name


def write(path: Path, content: bytes, mode: int = 0o600, *, durable: bool = False) -> bool:
    """Replace a file as a whole, unless it holds just that already; returns whether it changed.

    A durable one survives a loss of power from then on; what is derived from it need not.
    """
    if path.exists() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{threading.get_ident()}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    fresh.replace(path)
    return True


def load(path: Path, kind: type[T]) -> T | None:
    """Read a struct; None when it was never kept."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None


_routers: dict[Path, tuple[tuple[int, int], KeptRouter]] = {}


def router(context: AgentContext, name: str) -> KeptRouter | None:
    """Return what is kept of a router; the same object as long as its file stays the same."""
    path = router_folder(context, name) / "spec.json"
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    stamp = (status.st_mtime_ns, status.st_ino)
    known = _routers.get(path)
    if known is None or known[0] != stamp:
        known = (stamp, msgspec.json.decode(path.read_bytes(), type=KeptRouter))
        _routers[path] = known
    return known[1]


def keep_router(context: AgentContext, kept: KeptRouter) -> None:
    """Keep a router's desired state."""
    path = router_folder(context, kept.spec.name) / "spec.json"
    write(path, msgspec.json.encode(kept), durable=True)
    status = path.stat()
    _routers[path] = ((status.st_mtime_ns, status.st_ino), kept)


def routers(context: AgentContext) -> list[KeptRouter]:
    """Return all routers that are kept, by name."""
    folder = context.data / "routers"
    found = [router(context, path.parent.name) for path in sorted(folder.glob("*/spec.json"))]
    return [kept for kept in found if kept is not None]


def segment_path(context: AgentContext, bridge: str) -> Path:
    """Return the file of a segment."""
    return context.data / "segments" / f"{bridge}.json"


def segments(context: AgentContext) -> list[KeptSegment]:
    """Return all segments that are kept."""
    found = [load(path, KeptSegment) for path in sorted((context.data / "segments").glob("*.json"))]
    return [kept for kept in found if kept is not None]


def public(context: AgentContext) -> PublicNetwork:
    """Return the public network as management gave it last, else as the agent was started with."""
    return load(context.data / "public.json", PublicNetwork) or context.public


def keep_public(context: AgentContext, network: PublicNetwork) -> None:
    """Keep what management says of the public network."""
    write(context.data / "public.json", msgspec.json.encode(network), durable=True)
