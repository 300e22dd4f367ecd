"""A router's desired state -> dnsmasq's files: a configuration, and two host lists that SIGHUP makes it read again."""

from __future__ import annotations

import typing

from pileus.dataplane import checks
from pileus.dataplane.names import GUEST_LEG
from pileus.dataplane.nft import offers
from pileus.wire.router import RouterSpec

_LEASE = "12h"
_SECONDARY = "secondary"  # tag of machines for which this network is not the default one
METADATA_NAME = "data-server"  # the name under which cloud-init looks for a CloudStack router


class Paths(typing.NamedTuple):
    """Where dnsmasq finds and writes its files."""

    reservations: str
    names: str
    pid: str
    log: str


class Files(typing.NamedTuple):
    """The text of the three files; only a change of the configuration, which names secondary NICs, needs a restart."""

    config: str
    reservations: str
    names: str


def render(spec: RouterSpec, paths: Paths) -> Files:
    """Render all files; raises SpecError for a specification that contradicts itself."""
    checks.check_router(spec)
    return Files(_config(spec, paths), _reservations(spec), _names(spec))


def _config(spec: RouterSpec, paths: Paths) -> str:
    network = checks.guest_network(spec)
    lines = [
        f"interface={GUEST_LEG}",
        "except-interface=lo",
        "bind-interfaces",
        "user=nobody",
        "group=nogroup",
        f"pid-file={paths.pid}",
        f"log-facility={paths.log}",
        "no-hosts",
        "no-resolv",
        "no-poll",
    ]
    if spec.guest.domain:
        lines += [f"domain={spec.guest.domain},{network}", f"local=/{spec.guest.domain}/", "expand-hosts"]
    if offers(spec, "Dns"):
        lines += [
            f"addn-hosts={paths.names}",
            "domain-needed",
            "bogus-priv",
            "cache-size=1000",
            *(f"server={each}" for each in spec.dns_upstream),
        ]
    else:
        lines.append("port=0")
    if offers(spec, "Dhcp"):
        lines += _dhcp(spec, paths)
    return "\n".join([*lines, ""])


def _dhcp(spec: RouterSpec, paths: Paths) -> list[str]:
    network = checks.guest_network(spec)
    resolvers = spec.guest.dns or ([spec.guest.address] if offers(spec, "Dns") else [])
    lines = [
        f"dhcp-range={network.network_address},static,{network.netmask},{_LEASE}",
        f"dhcp-hostsfile={paths.reservations}",
        "dhcp-authoritative",
        "dhcp-ignore=tag:!known",
        "dhcp-lease-max=65536",
        "leasefile-ro",
        "no-ping",
        "quiet-dhcp",
        f"dhcp-option=tag:!{_SECONDARY},option:router,{spec.guest.address}",
        f"dhcp-option=tag:{_SECONDARY},option:router",
        f"dhcp-option=tag:{_SECONDARY},option:dns-server",
        f"dhcp-option-force=option:mtu,{spec.guest.segment.mtu}",
    ]
    lines += sorted(f"dhcp-mac=set:{_SECONDARY},{checks.mac(host.mac)}" for host in spec.hosts if not host.default)
    for host in sorted((host for host in spec.hosts if host.dhcp_options), key=lambda host: host.mac):
        tag = f"own-{checks.mac(host.mac).replace(':', '')}"
        lines.append(f"dhcp-mac=set:{tag},{checks.mac(host.mac)}")
        ordered = sorted(host.dhcp_options.items(), key=lambda option: int(option[0]))
        lines += [f"dhcp-option=tag:{tag},{code},{value}" for code, value in ordered]
    answer = f",{','.join(resolvers)}" if resolvers else ""
    return [*lines, f"dhcp-option=tag:!{_SECONDARY},option:dns-server{answer}"]


def _reservations(spec: RouterSpec) -> str:
    """Render the reservations; no tags among them, as dnsmasq 2.90 dies when it reads tags again after their use."""
    hosts = sorted(spec.hosts, key=lambda host: host.mac)
    return "".join(f"{checks.mac(host.mac)},{host.address},{host.name},{_LEASE}\n" for host in hosts)


def _names(spec: RouterSpec) -> str:
    lines = [f"{spec.guest.address} {METADATA_NAME}\n"]
    # A machine that is called so must not be asked for the metadata of its neighbours.
    others = (host for host in spec.hosts if host.name.lower() != METADATA_NAME)
    lines += [f"{host.address} {host.name}\n" for host in sorted(others, key=lambda host: host.address)]
    return "".join(lines)
