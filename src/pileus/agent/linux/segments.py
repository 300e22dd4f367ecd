"""Guest segments on this host: a bridge each, with a VXLAN device or a VLAN sub-interface when other hosts take part.

Without a tunnel address or peers (VXLAN), or without a traffic label (VLAN), a segment is a plain bridge.
"""

from __future__ import annotations

import threading

import msgspec
import pyroute2
import structlog

from pileus.agent import kept
from pileus.agent.context import AgentContext
from pileus.agent.kept import KeptSegment
from pileus.agent.linux import links
from pileus.agent.linux.probe import kernel_isolation
from pileus.agent.registry import OperationError
from pileus.dataplane import checks, names
from pileus.wire.segments import Segment

log = structlog.get_logger(__name__)

_lock = threading.RLock()  # making and releasing a bridge exclude each other


def ensure(context: AgentContext, segment: Segment, holder: str = "") -> str:
    """Make the segment so and return its bridge; a holder keeps it until he releases it.

    Raises OperationError `invalid-segment` or `isolation-unsupported`.
    """
    _check(context, segment)
    bridge = names.guest_bridge(context.prefix, segment)
    path = kept.segment_path(context, bridge)
    with _lock:
        known = kept.load(path, KeptSegment)
        holders = known.holders if known else []
        if holder and holder not in holders:
            holders = [*holders, holder]
        kept.write(path, msgspec.json.encode(KeptSegment(segment=segment, holders=holders)))
        _build(context, segment, bridge)
    return bridge


def release(context: AgentContext, segment: Segment, holder: str = "") -> bool:
    """Let go of a segment; its bridge goes when nobody holds it and nothing is plugged in. Returns whether it went."""
    bridge = names.guest_bridge(context.prefix, segment)
    device = names.segment_device(context.prefix, segment)
    path = kept.segment_path(context, bridge)
    with _lock, links.netlink() as ip:
        known = kept.load(path, KeptSegment)
        holders = [each for each in known.holders if each != holder] if known else []
        plugged = [port for port in links.ports(ip, bridge) if port != device]
        if holders or plugged:
            kept.write(path, msgspec.json.encode(KeptSegment(segment=segment, holders=holders)))
            return False
        links.delete(ip, device)
        links.delete(ip, bridge)
        path.unlink(missing_ok=True)
    return True


def repair(context: AgentContext) -> list[str]:
    """Make all kept segments so again; returns the bridges that were different."""
    repaired: list[str] = []
    for each in kept.segments(context):
        bridge = names.guest_bridge(context.prefix, each.segment)
        with _lock:
            if kept.segment_path(context, bridge).exists() and _build(context, each.segment, bridge):
                repaired.append(bridge)
    return repaired


def _check(context: AgentContext, segment: Segment) -> None:
    try:
        checks.check_segment(segment)
    except checks.SpecError as error:
        raise OperationError("invalid-segment", str(error)) from error
    if _reaches_out(context, segment) and segment.kind not in kernel_isolation():
        raise OperationError(
            "isolation-unsupported",
            f"this host's kernel cannot isolate by {segment.kind}; it can by: {', '.join(kernel_isolation())}",
        )


def _reaches_out(context: AgentContext, segment: Segment) -> bool:
    """Tell whether the segment goes beyond this host."""
    return bool(context.tunnel_address and segment.peers) if segment.kind == "vxlan" else bool(segment.label)


def _build(context: AgentContext, segment: Segment, bridge: str) -> bool:
    device = names.segment_device(context.prefix, segment)
    try:
        with links.netlink() as ip:
            changed = links.ensure_bridge(ip, bridge, segment.mtu)
            if not _reaches_out(context, segment):
                return links.delete(ip, device) or changed
            if segment.kind == "vlan":
                tag, parent = segment.tag, segment.label
                return links.ensure_vlan(ip, device, bridge, tag=tag, parent=parent, mtu=segment.mtu) or changed
            local = context.tunnel_address
            changed |= links.ensure_vxlan(ip, device, bridge, vni=segment.tag, local=local, mtu=segment.mtu)
            peers = [peer for peer in segment.peers if peer != local]
            return links.ensure_flooding(ip, device, peers) or changed
    except (pyroute2.NetlinkError, LookupError) as error:
        message = f"cannot make the segment {segment.kind} {segment.tag} on this host: {error}"
        raise OperationError("segment-failed", message, retryable=True) from error
