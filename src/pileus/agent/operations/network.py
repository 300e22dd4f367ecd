"""Operations on a host's networks: guest segments, and the public network; and all of them together."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

import pyroute2
import structlog

from pileus.agent import kept
from pileus.agent.context import AgentContext
from pileus.agent.linux import guard, links, namespaces, public, segments
from pileus.agent.linux.commands import CommandError
from pileus.agent.operations import router
from pileus.agent.registry import OperationError, Progress, operation
from pileus.dataplane import names
from pileus.wire.hosts import RouterState
from pileus.wire.segments import PublicNetwork, Segment, SegmentState

log = structlog.get_logger(__name__)


@operation("segment.ensure")
def ensure(context: AgentContext, arguments: Segment, progress: Progress) -> SegmentState:
    """Make a guest segment's bridge, and what joins it to other hosts."""
    del progress
    return SegmentState(bridge=segments.ensure(context, arguments))


@operation("segment.release")
def release(context: AgentContext, arguments: Segment, progress: Progress) -> SegmentState:
    """Remove a guest segment's bridge, unless somebody uses it."""
    del progress
    gone = segments.release(context, arguments)
    return SegmentState(bridge="" if gone else names.guest_bridge(context.prefix, arguments))


@operation("public.ensure")
def ensure_public(context: AgentContext, arguments: PublicNetwork, progress: Progress) -> None:
    """Make the public bridge with the host's gateway addresses on it, and the rules of what may leave."""
    del progress
    public.ensure(context, arguments)


def look_after(context: AgentContext) -> list[RouterState]:
    """Repair everything of the network that differs from what was applied; returns the routers for the report."""
    if kept.public(context).addresses or kept.routers(context):
        with _logged("the public network"):
            changes = public.ensure(context)
            if changes:
                log.warning("the public network differed and was repaired", changes=changes)
    with _logged("the guest segments"):
        changes = segments.repair(context)
        if changes:
            log.warning("guest segments differed and were repaired", bridges=changes)
    return router.list_routers(context)


def restore(context: AgentContext) -> None:
    """Bring back public network, segments and routers, as after a reboot; what fails is tried at each report."""
    for state in look_after(context):
        log.info("router restored", router=state.name, running=state.running)


def teardown(context: AgentContext) -> None:
    """Remove every process, namespace, link, route and rule of this cloud's networks; what is kept on disk stays."""
    router.teardown(context)
    with links.netlink() as ip:
        pattern = names.links_pattern(context.prefix)
        for name in links.names():
            if pattern.fullmatch(name):
                links.delete(ip, name)
    for name in namespaces.named(context.prefix):
        namespaces.remove(name)
    public.remove(context)
    guard.remove(context)
    run = kept.run_folder(context)
    with contextlib.suppress(OSError):  # others of this cloud may keep files there
        run.rmdir()


@contextlib.contextmanager
def _logged(what: str) -> Generator[None, None, None]:
    try:
        yield
    except (OperationError, CommandError, pyroute2.NetlinkError, OSError) as error:
        log.exception(f"{what} cannot be repaired; tried again at the next report", reason=str(error))
