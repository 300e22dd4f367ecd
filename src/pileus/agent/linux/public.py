"""The public network on this host: its bridge, the host's gateway addresses, what may leave, what never leaks."""

from __future__ import annotations

import threading
from ipaddress import IPv4Interface
from pathlib import Path

import msgspec
import pyroute2
import structlog

from pileus.agent import kept
from pileus.agent.context import AgentContext
from pileus.agent.linux import links, nftables, sysctl
from pileus.agent.linux.commands import CommandError
from pileus.agent.registry import OperationError
from pileus.dataplane import names
from pileus.dataplane.host_firewall import render_host
from pileus.wire.segments import PublicNetwork

log = structlog.get_logger(__name__)

MTU = 1500
_lock = threading.RLock()
# Bridged frames of guests must not meet the host's IP rules: a dropping forward policy of somebody else would cut
# networks apart, and equal addresses of two networks would clash in the host's connection tracking.
_BRIDGED = tuple(f"net/bridge/bridge-nf-call-{family}" for family in ("iptables", "ip6tables", "arptables"))


def ensure(context: AgentContext, network: PublicNetwork | None = None) -> list[str]:
    """Make the public network so, as given or as kept; returns what had to change.

    Raises OperationError `invalid-public-network`, `interface-in-use` or `public-failed`.
    """
    with _lock:
        if network is not None:
            _check(context, network)
            kept.keep_public(context, network)
        try:
            return _build(context, network or kept.public(context))
        except (pyroute2.NetlinkError, CommandError, OSError) as error:
            raise OperationError("public-failed", f"cannot make the public network: {error}", True) from error


def present(context: AgentContext) -> bool:
    """Tell whether the public bridge is there."""
    with links.netlink() as ip:
        link = links.find(ip, names.public_bridge(context.prefix))
        return link is not None and links.is_up(link)


def remove(context: AgentContext) -> None:
    """Take the public network off this host: bridge, routes, rules, and the settings that were changed for it."""
    network = kept.public(context)
    with _lock, links.netlink() as ip:
        links.delete(ip, names.public_bridge(context.prefix))
        links.set_unreachable(ip, _networks(network), present=False)
        nftables.forget("inet", names.host_table(context.prefix), _record(context))
        _restore_settings(context)


def _check(context: AgentContext, network: PublicNetwork) -> None:
    try:
        _networks(network)
    except ValueError as error:
        raise OperationError("invalid-public-network", f"public network: {error}") from error
    if not all(1 <= port <= 65535 for port in network.open_ports):
        raise OperationError("invalid-public-network", "public network: a port is not within 1..65535")
    if network.interface and context.uplink == "none":
        message = "a public interface lets packets leave the host, but the agent runs with uplink none"
        raise OperationError("invalid-public-network", message)


def _networks(network: PublicNetwork) -> list[str]:
    return sorted({str(IPv4Interface(address).network) for address in network.addresses})


def _build(context: AgentContext, network: PublicNetwork) -> list[str]:
    bridge = names.public_bridge(context.prefix)
    changes: list[str] = []
    with links.netlink() as ip:
        uplink = _uplink(context, ip)
        rules = render_host(context.prefix, network.addresses, uplink, network.open_ports)
        changes += _rules(context, rules)  # first of all: nothing may pass before it is forbidden
        if links.ensure_bridge(ip, bridge, MTU):
            changes.append("public bridge")
        links.set_unreachable(ip, _networks(network), present=True)
        added, removed = links.set_addresses(ip, bridge, network.addresses)
        if added or removed:
            changes.append("gateway addresses")
        if network.interface:
            changes += _attach(ip, bridge, network.interface)
    sysctl.write(f"net/ipv4/conf/{bridge}/forwarding", "1" if uplink else "0")
    if uplink:
        sysctl.write(f"net/ipv4/conf/{uplink}/forwarding", "1")
    _keep_bridges_apart(context)
    return changes


def _uplink(context: AgentContext, ip: object) -> str:
    if context.uplink == "none":
        return ""
    return links.default_interface(ip) if context.uplink == "auto" else context.uplink


def _rules(context: AgentContext, rules: str) -> list[str]:
    changed = nftables.keep("inet", names.host_table(context.prefix), rules, _record(context))
    return ["host rules"] if changed else []


def _record(context: AgentContext) -> Path:
    return kept.run_folder(context) / "host.json"


def _attach(ip: object, bridge: str, interface: str) -> list[str]:
    link = links.find(ip, interface)
    if link is None:
        raise OperationError("invalid-public-network", f"this host has no interface {interface}")
    if links.addresses(ip, interface):
        message = f"{interface} has addresses of its own, which a bridge port cannot use; move them to another one"
        raise OperationError("interface-in-use", message)
    return ["public interface"] if links.set_up(ip, link, master=links.index(bridge)) else []


def _keep_bridges_apart(context: AgentContext) -> None:
    record = context.data / "settings.json"
    former = kept.load(record, dict[str, str]) or {}
    changed = {name: sysctl.read(name) for name in _BRIDGED if sysctl.read(name) == "1"}
    if changed:
        kept.write(record, msgspec.json.encode(changed | former))
    for name in changed:
        sysctl.write(name, "0")
        log.info("bridged frames no longer pass the host's IP rules, so that guests' networks stay apart", setting=name)


def _restore_settings(context: AgentContext) -> None:
    """Undo changed settings, unless another cloud on this host still relies on them."""
    record = context.data / "settings.json"
    former = kept.load(record, dict[str, str]) or {}
    if any(table.startswith("table inet pileus_") for table in nftables.tables()):
        return
    for name, value in former.items():
        sysctl.write(name, value)
    record.unlink(missing_ok=True)
