"""Makes a router as its specification says, changing only what differs, and takes it away again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import structlog

from pileus.agent import kept
from pileus.agent.context import AgentContext
from pileus.agent.linux import arp, dnsmasq, links, metadata, namespaces, nftables, public, segments
from pileus.agent.linux.commands import CommandError
from pileus.agent.linux.setns import inside
from pileus.dataplane import checks, names, nft
from pileus.dataplane import dnsmasq as dnsmasq_text
from pileus.dataplane.metadata_state import render_service
from pileus.dataplane.ruleset import Ruleset, difference, whole
from pileus.wire.router import RouterSpec

log = structlog.get_logger(__name__)


class Rendered(NamedTuple):
    """All texts of one router."""

    spec: RouterSpec
    rules: Ruleset
    files: dnsmasq_text.Files
    service: bytes


class Loaded(msgspec.Struct, frozen=True):
    """Which rules were loaded where, kept in /run: a different number of the ruleset means that somebody was at it."""

    digest: str
    inode: int
    generation: int


_rendered: dict[tuple[Path, str], Rendered] = {}
_applied: dict[tuple[Path, str], RouterSpec] = {}  # what the last pass that went well was about
_loaded: dict[Path, tuple[Loaded, Ruleset]] = {}  # by the path of the record


def render(context: AgentContext, spec: RouterSpec) -> Rendered:
    """Render all texts, once for a specification; raises SpecError."""
    key = (context.data, spec.name)
    known = _rendered.get(key)
    if known is None or known.spec != spec:
        files = dnsmasq_text.render(spec, dnsmasq.paths(context, spec.name))
        service = render_service(spec, names.namespace(context.prefix, spec.name))
        known = Rendered(spec, nft.router_ruleset(spec), files, service)
        _rendered[key] = known
    return known


def converge(context: AgentContext, spec: RouterSpec, *, quick: bool = False) -> list[str]:
    """Make the router so; returns what had to change, [] when all was right.

    The rules come first, so that nothing passes unfiltered while the legs are plugged.  A quick pass leaves the
    wiring alone when it is the same as that of the last pass that went well; the next inspection looks at it.
    """
    rendered = render(context, spec)
    former = _applied.pop((context.data, spec.name), None)
    namespace = names.namespace(context.prefix, spec.name)
    if quick and former and _wiring(former) == _wiring(spec) and namespaces.inode(namespace):
        made = False
        changes = _rules(context, spec.name, namespace, rendered.rules)
    else:
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
    _applied[context.data, spec.name] = spec
    return changes


def _wiring(spec: RouterSpec) -> tuple[object, ...]:
    """Return the part of a specification that links, addresses and routes follow from."""
    owned = [(each.address, each.prefix, each.gateway, each.source_nat) for each in spec.public_addresses]
    return spec.uuid, spec.guest, spec.public_mac, spec.public_mtu, owned


def remove(context: AgentContext, spec: RouterSpec) -> None:
    """Take the router's processes, namespace and cables away, and let go of its segment."""
    prefix = context.prefix
    _applied.pop((context.data, spec.name), None)
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
    sent_out, came_in = links.octets(names.public_leg(context.prefix, spec.uuid))
    return came_in, sent_out


def _rules(context: AgentContext, name: str, namespace: str, rules: Ruleset) -> list[str]:
    """Load the rules unless they are loaded: the difference where the former ones are known, else the whole."""
    record = kept.run_folder(context) / name / "rules.json"
    text = whole(rules)
    digest = hashlib.sha256(text.encode()).hexdigest()
    loaded = kept.load(record, Loaded)
    inode = namespaces.inode(namespace)
    now = inside(namespace, nftables.generation)
    if loaded == Loaded(digest, inode, now):
        return []
    meddled = loaded is not None and (loaded.inode, loaded.generation) != (inode, now)
    former = _loaded.get(record)
    step = difference(former[1], rules) if former and former[0] == loaded and not meddled else None

    def load() -> int:
        if step is None or not _stepped(step):
            nftables.load(f"flush ruleset\n{text}" if meddled else text)
        return nftables.generation()

    loaded = Loaded(digest, inode, inside(namespace, load))
    kept.write(record, msgspec.json.encode(loaded))
    _loaded[record] = (loaded, rules)
    return ["rules"]


def _stepped(step: str) -> bool:
    """Load a difference; one that the kernel refuses has changed nothing, and the whole takes its place."""
    try:
        nftables.load(step)
    except CommandError as error:
        log.warning("a difference of rules was refused; all rules are loaded instead", reason=str(error))
        return False
    return True


def _plug(context: AgentContext, spec: RouterSpec, namespace: str, bridge: str) -> list[str]:
    """Run cables from the bridges into the namespace; one whose inner end is lost is made anew."""
    prefix = context.prefix
    public_leg = names.public_leg(prefix, spec.uuid)
    present = inside(namespace, links.names)
    legs = [(names.guest_leg(prefix, spec.uuid), bridge, names.GUEST_LEG, spec.guest.mac, spec.guest.segment.mtu)]
    changes: list[str] = []
    with links.netlink() as ip:
        if spec.public_mac:
            upstream = names.public_bridge(prefix)
            legs.append((public_leg, upstream, names.PUBLIC_LEG, spec.public_mac, spec.public_mtu))
        elif links.delete(ip, public_leg):
            changes.append(names.PUBLIC_LEG)
        for outer, master, inner, mac, mtu in legs:
            if inner not in present:
                links.delete(ip, outer)
            if links.ensure_leg(ip, outer, master, namespace=namespace, inner=inner, mac=mac, mtu=mtu):
                changes.append(f"leg {inner}")
    return changes


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
            changes += _dress(ip, names.PUBLIC_LEG, spec.public_mac, spec.public_mtu, wanted)
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
