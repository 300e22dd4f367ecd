"""Makes a router as its specification says, changing only what differs, and takes it away again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from pileus.agent import kept
from pileus.agent.context import AgentContext
from pileus.agent.linux import arp, dnsmasq, links, metadata, namespaces, nftables, public, segments
from pileus.agent.linux.commands import CommandError
from pileus.agent.linux.setns import inside
from pileus.dataplane import checks, names, nft
from pileus.dataplane import dnsmasq as dnsmasq_text
from pileus.dataplane.metadata_state import render_service
from pileus.wire.router import RouterSpec


class Rendered(NamedTuple):
    """All texts of one router."""

    spec: RouterSpec
    rules: str
    files: dnsmasq_text.Files
    service: bytes


class Loaded(msgspec.Struct, frozen=True):
    """Which rules were loaded where, kept in /run: a different number of the ruleset means that somebody was at it."""

    digest: str
    inode: int
    generation: int


_rendered: dict[tuple[Path, str], Rendered] = {}


def render(context: AgentContext, spec: RouterSpec) -> Rendered:
    """Render all texts, once for a specification; raises SpecError."""
    key = (context.data, spec.name)
    known = _rendered.get(key)
    if known is None or known.spec != spec:
        files = dnsmasq_text.render(spec, dnsmasq.paths(context, spec.name))
        service = render_service(spec, names.namespace(context.prefix, spec.name))
        known = Rendered(spec, nft.render_router(spec), files, service)
        _rendered[key] = known
    return known


def converge(context: AgentContext, spec: RouterSpec) -> list[str]:
    """Make the router so; returns what had to change, [] when all was right.

    The rules come first, so that nothing passes unfiltered while the legs are plugged.
    """
    rendered = render(context, spec)
    namespace = names.namespace(context.prefix, spec.name)
    bridge = segments.ensure(context, spec.guest.segment, holder=f"router:{spec.uuid}")
    if spec.public_mac and not public.present(context):
        public.ensure(context)
    made = namespaces.ensure(namespace)
    changes = ["namespace"] if made else []
    changes += namespaces.set_router_sysctls(namespace)
    changes += _rules(context, spec.name, namespace, rendered.rules)
    changes += _plug(context, spec, namespace, bridge)
    changes += inside(namespace, lambda: _address(spec))
    if nft.offers(spec, "Dhcp", "Dns"):
        changes += dnsmasq.ensure(context, spec.name, namespace, rendered.files)
    else:
        dnsmasq.stop(context, spec.name)
    if nft.offers(spec, "UserData"):
        changes += metadata.publish(context, spec.name, rendered.service, renewed=made)
    else:
        metadata.withdraw(context, spec.name)
    return changes


def remove(context: AgentContext, spec: RouterSpec) -> None:
    """Take the router's processes, namespace and cables away, and let go of its segment."""
    prefix = context.prefix
    metadata.withdraw(context, spec.name)
    dnsmasq.stop(context, spec.name)
    with links.netlink() as ip:
        links.delete(ip, names.guest_leg(prefix, spec.uuid))
        links.delete(ip, names.public_leg(prefix, spec.uuid))
    namespaces.remove(names.namespace(prefix, spec.name))
    run = kept.run_folder(context) / spec.name
    (run / "rules.json").unlink(missing_ok=True)
    if run.is_dir():
        run.rmdir()
    segments.release(context, spec.guest.segment, holder=f"router:{spec.uuid}")


def is_running(context: AgentContext, spec: RouterSpec) -> bool:
    """Tell whether the namespace, and dnsmasq if the router has one, are there."""
    namespace = namespaces.inode(names.namespace(context.prefix, spec.name))
    return bool(namespace and (not nft.offers(spec, "Dhcp", "Dns") or dnsmasq.running(context, spec.name)))


def traffic(context: AgentContext, spec: RouterSpec) -> tuple[int, int]:
    """Return the bytes that came in and went out by the public leg since the router was made."""
    with links.netlink() as ip:
        sent_out, came_in = links.octets(ip, names.public_leg(context.prefix, spec.uuid))
    return came_in, sent_out


def _rules(context: AgentContext, name: str, namespace: str, rules: str) -> list[str]:
    record = kept.run_folder(context) / name / "rules.json"
    digest = hashlib.sha256(rules.encode()).hexdigest()
    loaded = kept.load(record, Loaded)
    inode = namespaces.inode(namespace)
    now = inside(namespace, nftables.generation)
    if loaded == Loaded(digest, inode, now):
        return []
    meddled = loaded is not None and (loaded.inode, loaded.generation) != (inode, now)

    def load() -> int:
        nftables.load(f"flush ruleset\n{rules}" if meddled else rules)
        return nftables.generation()

    kept.write(record, msgspec.json.encode(Loaded(digest, inode, inside(namespace, load))))
    return ["rules"]


def _plug(context: AgentContext, spec: RouterSpec, namespace: str, bridge: str) -> list[str]:
    """Run cables from the bridges into the namespace; one whose inner end is lost is made anew."""
    prefix = context.prefix
    public_leg = names.public_leg(prefix, spec.uuid)
    present = inside(namespace, _link_names)
    legs = [(names.guest_leg(prefix, spec.uuid), bridge, names.GUEST_LEG, spec.guest.mac, spec.guest.segment.mtu)]
    changes: list[str] = []
    with links.netlink() as ip:
        if spec.public_mac:
            upstream = names.public_bridge(prefix)
            legs.append((public_leg, upstream, names.PUBLIC_LEG, spec.public_mac, public.MTU))
        elif links.delete(ip, public_leg):
            changes.append(names.PUBLIC_LEG)
        for outer, master, inner, mac, mtu in legs:
            if inner not in present:
                links.delete(ip, outer)
            if links.ensure_leg(ip, outer, master, namespace=namespace, inner=inner, mac=mac, mtu=mtu):
                changes.append(f"leg {inner}")
    return changes


def _link_names() -> list[str]:
    with links.netlink() as ip:
        return links.names(ip)


def _address(spec: RouterSpec) -> list[str]:
    """Give the legs their MAC and addresses, tell the neighbours, and set the way out; inside the namespace."""
    changes: list[str] = []
    with links.netlink() as ip:
        guest = [f"{spec.guest.address}/{spec.guest.prefix}"]
        changes += _dress(ip, names.GUEST_LEG, spec.guest.mac, spec.guest.segment.mtu, guest)
        gateway = source = ""
        if spec.public_mac:
            ordered = sorted(spec.public_addresses, key=lambda public: not public.source_nat)
            wanted = [f"{each.address}/{each.prefix}" for each in ordered]
            changes += _dress(ip, names.PUBLIC_LEG, spec.public_mac, public.MTU, wanted)
            if ordered and ordered[0].gateway:
                gateway, source = ordered[0].gateway, ordered[0].address
        if links.set_default_route(ip, gateway, source):
            changes.append("default route")
    return changes


def _dress(ip: Any, name: str, mac: str, mtu: int, wanted: list[str]) -> list[str]:
    link = links.find(ip, name)
    if link is None:
        raise CommandError(f"the router's leg {name} vanished while it was set up")
    changes: list[str] = []
    if link.get("address") != checks.mac(mac):
        ip.link("set", index=link["index"], address=mac)
        changes.append(f"MAC of {name}")
    if links.set_up(ip, link, mtu=mtu):
        changes.append(f"link {name}")
    added, removed = links.set_addresses(ip, name, wanted)
    if added or removed:
        changes.append(f"addresses of {name}")
    if added:
        arp.announce(name, mac, [each.split("/")[0] for each in added])
    return changes
