"""Segments: the tag that keeps a network apart, and which hosts take part in it.

Each host of a VXLAN must know the tunnel addresses of the others.  ``segment_member`` holds who takes part; when a host
joins or leaves, the segment of every other member is brought to its newest peers by the converger ``segment``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.errors import InsufficientCapacity, InvalidParameter
from pileus.core.jobs import Job, Rendered, ask, converger, desire, desired
from pileus.core.jobs.prepared import Prepared
from pileus.core.statements import Listing, equal
from pileus.infrastructure.model import SIMULATOR, VXLAN, tag_ranges, within
from pileus.infrastructure.tables import host, physical_network, segment_tag, traffic_type
from pileus.network import machines, model
from pileus.network.tables import network, nic, router, segment_member
from pileus.wire.operations import Failure
from pileus.wire.segments import Segment

_GAP = Prepared(
    "SELECT taken.tag + 1 FROM segment_tag AS taken WHERE taken.physical_network_id = :network"
    " AND taken.tag BETWEEN :low AND :high - 1 AND NOT EXISTS (SELECT 1 FROM segment_tag AS next"
    " WHERE next.physical_network_id = :network AND next.tag = taken.tag + 1) ORDER BY taken.tag LIMIT 1"
)
_TAKEN = Prepared("SELECT 1 FROM segment_tag WHERE physical_network_id = :network AND tag = :tag")
_MEMBER = "INSERT INTO segment_member (network_id, host_id) VALUES (:network, :host) ON CONFLICT (network_id, host_id)"
_JOIN = Prepared(  # of a host that takes part already the row is held, and no id returned
    _MEMBER + " DO NOTHING RETURNING id",
    postgresql=_MEMBER + " DO UPDATE SET unsettled = segment_member.unsettled RETURNING CASE WHEN xmax = 0 THEN id END",
)
_TUNNEL_PEERS = Prepared(  # nobody needs to know a host without a tunnel address, and it can reach nobody
    "SELECT member.id FROM segment_member AS member JOIN host ON host.id = member.host_id"
    " WHERE member.network_id = :network AND member.host_id <> :host AND host.tunnel_address <> ''"
    " AND EXISTS (SELECT 1 FROM host AS new WHERE new.id = :host AND new.tunnel_address <> '')"
    " AND EXISTS (SELECT 1 FROM network WHERE network.id = :network AND network.isolation = 'VXLAN')"
    " ORDER BY member.id"
)
_UNSETTLED = Prepared(
    "UPDATE segment_member SET unsettled = 1 WHERE id = :id",
    postgresql="UPDATE segment_member SET unsettled = true WHERE id = :id",
)

_LABELS = Listing(
    lambda among: sa.select(traffic_type.c.physical_network_id, traffic_type.c.kvm_label).where(
        traffic_type.c.type == "Guest", among(traffic_type.c.physical_network_id, "networks")
    )
)
_PEERS = Listing(
    lambda among: (
        sa.select(segment_member.c.network_id, host.c.tunnel_address)
        .join(host, host.c.id == segment_member.c.host_id)
        .where(among(segment_member.c.network_id, "networks"), segment_member.c.host_id != sa.bindparam("host"))
        .order_by(host.c.tunnel_address)
    )
)


def refuse_impossible(db: Connection, zone_id: int, isolation: str) -> None:
    """Raise InvalidParameter when the zone has hosts, but none whose kernel can isolate networks in this way."""
    statement = sa.select(host.c.name, host.c.hypervisor, host.c.facts["isolation"].label("isolation")).where(
        host.c.zone_id == zone_id, host.c.removed.is_(None)
    )
    rows = db.execute(statement).all()
    if rows and not any(fits(row, isolation) for row in rows):
        can = sorted({kind.upper() for row in rows for kind in row.isolation or ()})
        raise InvalidParameter(
            f"parameter zoneid: no host of the zone can isolate networks by {isolation}: their kernels can do "
            f"{', '.join(can) or 'neither VLAN nor VXLAN'}; use a physical network with another isolation method"
        )


def fits(row: Any, isolation: str) -> bool:
    """Tell whether a host (hypervisor, isolation as in its facts) can isolate networks in this way."""
    return row.hypervisor == SIMULATOR or isolation.lower() in (row.isolation or ())


def take_tag(db: Connection, network_row: Row[Any], explicit: int | None = None) -> int:
    """Give the network a tag that is its own on the physical network: the explicit one, or the lowest free."""
    of = db.execute(
        sa.select(physical_network).where(physical_network.c.id == network_row.physical_network_id).with_for_update()
    ).one()
    if explicit is None:
        explicit = _lowest_free(db, of)
        if explicit is None:
            raise InsufficientCapacity(
                f"physical network {of.name} has no free {of.isolation} tag left in "
                f"{of.tag_ranges or 'its empty range'}; delete networks, or widen its range with updatePhysicalNetwork"
            )
    elif _TAKEN(db, network=of.id, tag=explicit).first():
        raise InvalidParameter(f"parameter vlan: the {of.isolation} tag {explicit} belongs to another network")
    elif of.isolation == VXLAN:
        _refuse_elsewhere(db, of, explicit)
    database.insert(db, segment_tag, physical_network_id=of.id, tag=explicit, network_id=network_row.id)
    database.change(db, network, network_row.id, tag=explicit)
    return explicit


def _refuse_elsewhere(db: Connection, of: Row[Any], tag: int) -> None:
    """Refuse a VXLAN identifier of another physical network of the zone: to a host both are the same segment."""
    others = sa.select(physical_network).where(
        physical_network.c.zone_id == of.zone_id,
        physical_network.c.isolation == VXLAN,
        physical_network.c.removed.is_(None),
        physical_network.c.id != of.id,
    )
    for other in db.execute(others).all():
        if within(tag_ranges(other.tag_ranges, VXLAN), tag) or _TAKEN(db, network=other.id, tag=tag).first():
            raise InvalidParameter(
                f"parameter vlan: the VXLAN tag {tag} belongs to physical network {other.name} of the zone"
            )


def _lowest_free(db: Connection, of: Row[Any]) -> int | None:
    for low, high in tag_ranges(of.tag_ranges, of.isolation):
        if not _TAKEN(db, network=of.id, tag=low).first():
            return low
        found = _GAP(db, network=of.id, low=low, high=high).scalar_one_or_none()
        if found is not None:
            return int(found)
    return None


def give_tag_back(db: Connection, network_id: int) -> None:
    """Free the network's tag."""
    db.execute(sa.delete(segment_tag).where(segment_tag.c.network_id == network_id))
    database.change(db, network, network_id, tag=None)


def wires(db: Connection, networks: Sequence[Row[Any]], host_id: int) -> dict[int, Segment]:
    """Return the segments of networks with a tag, by network, as a host is to make them: in two queries."""
    tagged = {row.id: row for row in networks if row.tag is not None}
    if not tagged:
        return {}
    physical = sorted({row.physical_network_id for row in tagged.values()})
    labels: dict[int, str | None] = {
        row.physical_network_id: row.kvm_label for row in _LABELS(db, {"networks": physical})
    }
    peers: dict[int, list[str]] = {}
    if any(row.isolation == "VXLAN" for row in tagged.values()):
        for network_id, address in _PEERS(db, {"networks": sorted(tagged), "host": host_id}):
            if address:
                peers.setdefault(network_id, []).append(address)
    return {
        row.id: Segment(
            kind="vxlan" if row.isolation == "VXLAN" else "vlan",
            tag=row.tag,
            mtu=row.private_mtu or model.DEFAULT_MTU[row.isolation],
            label=labels.get(row.physical_network_id) or "",
            peers=peers.get(row.id, []) if row.isolation == "VXLAN" else [],
        )
        for row in tagged.values()
    }


def join(db: Connection, network_ids: Iterable[int], host_id: int) -> list[int]:
    """Let a host take part in networks; return the memberships of other hosts that must learn of it (often none).

    Called in the transaction that places a machine or router; wait for the answer's convergence before the start.
    """
    told: list[int] = []
    for network_id in sorted(set(network_ids)):
        if _JOIN(db, network=network_id, host=host_id).scalar_one_or_none() is not None:
            told.extend(tell_others(db, network_id, host_id))
    return told


def tell_others(db: Connection, network_id: int, host_id: int) -> list[int]:
    """Ask for the newest peers on every other member of a VXLAN (a VLAN's members need not know one another)."""
    ids = [int(id_) for id_ in _TUNNEL_PEERS(db, network=network_id, host=host_id).scalars()]
    ask(db, "segment", ids)
    _UNSETTLED.many(db, [{"id": id_} for id_ in ids])
    return ids


def readdressed(db: Connection, host_id: int) -> None:
    """Bring all segments of a host up to date whose tunnel address has changed, there and on their other members."""
    of = sa.select(segment_member.c.id, segment_member.c.network_id).where(segment_member.c.host_id == host_id)
    for member, network_id in db.execute(of.order_by(segment_member.c.id)).all():
        ask(db, "segment", [member])
        others = segment_member.c.network_id == network_id, segment_member.c.host_id != host_id
        ask(db, "segment", db.execute(sa.select(segment_member.c.id).where(*others)).scalars().all())


def tell_all(db: Connection, network_id: int) -> None:
    """Ask every host of a network to make its segment anew: it has another MTU."""
    found = sa.select(segment_member.c.id).where(segment_member.c.network_id == network_id)
    ask(db, "segment", db.execute(found.order_by(segment_member.c.id)).scalars().all())


def settle(db: Connection) -> None:
    """Tell the hosts their peers once more on which something was starting when the peers changed."""
    for row in db.execute(sa.select(segment_member).where(segment_member.c.unsettled).limit(200)).all():
        if not used(db, row.network_id, row.host_id, states=(model.STARTING,)):
            database.change(db, segment_member, row.id, unsettled=False)
            desire(db, "segment", row.id)


def wait(job: Job, memberships: Iterable[int]) -> None:
    """Wait until the hosts that ``join`` named know the new member."""
    job.converge_all([("segment", id_) for id_ in memberships])


def review(db: Connection, network_ids: Iterable[int], host_id: int) -> list[int]:
    """Let a host leave those networks for which it has neither a machine nor a router any more.

    Called in the transaction in which a machine or router has left the host; the host frees the segments later: the
    memberships that are returned end when they have converged.
    """
    leaving: list[int] = []
    for network_id in sorted(set(network_ids)):
        member = db.execute(
            sa.select(segment_member.c.id).where(
                segment_member.c.network_id == network_id, segment_member.c.host_id == host_id
            )
        ).scalar_one_or_none()
        if member is not None and not used(db, network_id, host_id):
            desire(db, "segment", member)
            leaving.append(member)
    return leaving


def used(db: Connection, network_id: int, host_id: int, states: Sequence[str] = machines.HOLDING) -> bool:
    """Tell whether a host has a machine or router of the network (in one of these states)."""
    of_routers = [*states, model.EXPUNGING] if model.RUNNING in states else states
    values = {"network": network_id, "host": host_id}
    if _router_here()(db, {**values, "states": of_routers}).first():
        return True
    return _machine_here()(db, {**values, "states": states}).first() is not None


@cache
def _router_here() -> Listing:
    return Listing(
        lambda among: (
            sa.select(router.c.id)
            .where(
                equal(router.c.network_id, "network"),
                equal(router.c.host_id, "host"),
                router.c.removed.is_(None),
                among(router.c.state, "states"),
            )
            .limit(sa.literal_column("1"))
        )
    )


@cache
def _machine_here() -> Listing:
    there = machines.table()
    plugged = sa.exists().where(  # looked up for each machine of the host: a network may have ten thousand NICs
        nic.c.machine_id == there.c.id, equal(nic.c.network_id, "network"), nic.c.removed.is_(None)
    )
    return Listing(
        lambda among: (
            sa.select(there.c.id)
            .where(equal(there.c.host_id, "host"), among(there.c.state, "states"), plugged)
            .limit(sa.literal_column("1"))
        )
    )


def forget_network(db: Connection, network_id: int) -> None:
    """Drop every membership of a network that is deleted (its last host has left it by then, or is lost)."""
    db.execute(sa.delete(segment_member).where(segment_member.c.network_id == network_id))


@converger("segment")
class SegmentConverger:
    """Brings a network's segment on one host to its newest peers, or removes it when the host no longer takes part.

    The numbers of wishes go on when a membership ends: a host that comes back must not look older than it was.
    """

    def render(self, db: Connection, object_id: int) -> Rendered | None:
        """Return the operation that makes or removes the segment."""
        member = database.get(db, segment_member, object_id)
        if member is None:
            return None
        row = database.one(db, network, member.network_id)
        wire = wires(db, [row], member.host_id).get(row.id)
        if wire is None:
            return None
        return Rendered(
            host=member.host_id,
            kind="segment.ensure" if used(db, row.id, member.host_id) else "segment.release",
            object=f"segment:{row.uuid}/{object_id}",
            arguments=msgspec.to_builtins(wire),
            timeout=20,
        )

    def applied(self, db: Connection, object_id: int, generation: int, result: dict[str, Any]) -> None:
        """Drop the membership of a host that has let go, and tell the others."""
        if result.get("bridge"):
            return  # it takes part
        held = sa.select(segment_member).where(segment_member.c.id == object_id).with_for_update(skip_locked=True)
        member = db.execute(held).one_or_none()
        if member is None or desired(db, "segment", object_id) > generation:
            return  # somebody joins at this moment, or a newer wish will look again
        if not used(db, member.network_id, member.host_id):
            db.execute(sa.delete(segment_member).where(segment_member.c.id == object_id))
            tell_others(db, member.network_id, member.host_id)

    def failed(self, db: Connection, object_id: int, generation: int, failure: Failure) -> None:
        """Leave it: the next change, or the next look at all segments, tries again."""
