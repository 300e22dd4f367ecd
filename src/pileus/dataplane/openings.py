"""What firewall rules open on public addresses, as elements that never overlap.

nftables refuses a set of concatenated ranges in which two elements overlap, while users may give any rules they
like.  For each address and protocol the ports are cut where any rule begins or ends; each piece carries the union of
the sources of all rules that cover it, and neighbours with equal sources are joined again.
"""

from __future__ import annotations

import functools
import typing
from collections import defaultdict
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address

from pileus.dataplane import checks
from pileus.wire.router import FirewallRule

Range = tuple[int, int]  # both ends inclusive
EVERYWHERE: Range = (0, 0xFFFFFFFF)
_GROWTH = 8  # elements per rule from which an address is rendered rule by rule instead


class Openings(typing.NamedTuple):
    """What to let in; each list is sorted, and its members are disjoint where they are elements of a set."""

    exact: list[tuple[str, str, int]]  # address, protocol, port; from anywhere
    ranged: list[tuple[str, str, Range, Range]]  # address, protocol, sources, ports
    whole: list[tuple[str, Range]]  # address, sources; every protocol
    icmp: dict[tuple[int, int], list[tuple[str, Range]]]  # type, code (-1 = any) -> address, sources
    linear: list[tuple[str, str, list[Range], Range]]  # what would have grown too large as elements


def openings(rules: Iterable[FirewallRule]) -> Openings:
    """Work out what the rules open together."""
    by_ports: dict[tuple[str, str], list[tuple[Range, list[Range]]]] = defaultdict(list)
    whole: dict[str, list[Range]] = defaultdict(list)
    icmp: dict[tuple[int, int], dict[str, list[Range]]] = defaultdict(lambda: defaultdict(list))
    for rule in rules:
        sources = _sources(rule.sources)
        if rule.protocol == "all":
            whole[rule.address] += sources
        elif rule.protocol == "icmp":
            icmp[_any(rule.icmp_type), _any(rule.icmp_code)][rule.address] += sources
        else:
            ports = checks.ports(rule.start, rule.end)
            by_ports[rule.address, rule.protocol].append((ports, sources))
    found = Openings([], [], _union_each(whole), {}, [])
    for kind in sorted(icmp):
        found.icmp[kind] = _union_each(icmp[kind])
    for (address, protocol), entries in sorted(by_ports.items()):
        _add_ports(found, address, protocol, entries)
    return found


def _add_ports(found: Openings, address: str, protocol: str, entries: list[tuple[Range, list[Range]]]) -> None:
    limit = _GROWTH * len(entries) + 64
    pieces: list[tuple[Range, tuple[Range, ...]]] = []
    size = 0
    for piece in _pieces(entries):
        pieces.append(piece)
        size += len(piece[1])
        if size > limit:
            found.linear.extend((address, protocol, union(sources), ports) for ports, sources in entries)
            return
    for ports, sources in pieces:
        if sources == (EVERYWHERE,) and ports[0] == ports[1]:
            found.exact.append((address, protocol, ports[0]))
        else:
            found.ranged.extend((address, protocol, source, ports) for source in sources)


def _pieces(entries: list[tuple[Range, list[Range]]]) -> Iterator[tuple[Range, tuple[Range, ...]]]:
    """Yield disjoint port ranges in order, each with the disjoint sources that may reach it."""
    events: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for index, (ports, _) in enumerate(entries):
        events[ports[0]].append((1, index))
        events[ports[1] + 1].append((-1, index))
    active: set[int] = set()
    pending: tuple[Range, tuple[Range, ...]] | None = None
    edges = sorted(events)
    for edge, following in zip(edges, [*edges[1:], 0], strict=True):
        for change, index in events[edge]:
            if change > 0:
                active.add(index)
            else:
                active.discard(index)
        if not active:
            continue
        sources = tuple(union(source for index in active for source in entries[index][1]))
        if pending and pending[0][1] + 1 == edge and pending[1] == sources and _joinable(pending[0], sources):
            pending = ((pending[0][0], following - 1), sources)
            continue
        if pending:
            yield pending
        pending = ((edge, following - 1), sources)
    if pending:
        yield pending


def _joinable(ports: Range, sources: tuple[Range, ...]) -> bool:
    """Keep single ports open to everybody apart: they go into a hash, which is the fastest of all sets."""
    return not (sources == (EVERYWHERE,) and ports[0] == ports[1])


def union(ranges: Iterable[Range]) -> list[Range]:
    """Join ranges that overlap or touch."""
    joined: list[Range] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return joined


@functools.lru_cache(8192)
def network_range(text: str) -> Range:
    """Return the first and the last address of a CIDR as numbers."""
    network = checks.cidr(text)
    return int(network.network_address), int(network.broadcast_address)


def addresses(span: Range) -> str:
    """Write a range of addresses as nft reads it."""
    if span[0] == span[1]:
        return str(IPv4Address(span[0]))
    return f"{IPv4Address(span[0])}-{IPv4Address(span[1])}"


def numbers(span: Range) -> str:
    """Write a range of ports as nft reads it."""
    return str(span[0]) if span[0] == span[1] else f"{span[0]}-{span[1]}"


def _sources(texts: list[str]) -> list[Range]:
    return [network_range(text) for text in texts] or [EVERYWHERE]


def _any(number: int | None) -> int:
    return -1 if number is None else number


def _union_each(by_address: dict[str, list[Range]]) -> list[tuple[str, Range]]:
    return [(address, span) for address in sorted(by_address) for span in union(by_address[address])]
