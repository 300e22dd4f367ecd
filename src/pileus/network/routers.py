"""Routers: their rows, their place, and the converger that brings their host to what the rows say."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import Any

import msgspec
import sqlalchemy as sa
import structlog
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database, events
from pileus.core.errors import ConcurrentChange, InsufficientCapacity
from pileus.core.jobs import Rendered, converger, desire, desired
from pileus.core.statements import Fixed
from pileus.infrastructure import dedication
from pileus.infrastructure.tables import cluster, host, pod
from pileus.network import model, rendering, segments
from pileus.network.tables import network, network_offering, nic, router, rule
from pileus.scheduling.filters.dedicated import allows
from pileus.scheduling.routers import NoHost, RouterHost, choose
from pileus.wire.operations import Failure
from pileus.wire.router import RouterReference

log = structlog.get_logger(__name__)

_LIVE = sa.select(router).where(router.c.network_id == sa.bindparam("network"), router.c.removed.is_(None))


def current(db: Connection, network_id: int) -> Row[Any] | None:
    """Return a network's router, whatever its state, or None."""
    return db.execute(_LIVE, {"network": network_id}).one_or_none()


def live(db: Connection, network_id: int) -> Row[Any] | None:
    """Return a network's router when it takes what is desired of it now (it runs or starts), or None."""
    row = current(db, network_id)
    return row if row is not None and row.state in model.LIVE else None


def want(db: Connection, network_id: int) -> tuple[int, int] | None:
    """Ask for a network's router to be brought to the newest rows; return its id and the wish (None without one)."""
    row = live(db, network_id)
    return None if row is None else (row.id, desire(db, "router", row.id))


def needed(offering: Row[Any]) -> bool:
    """Tell whether networks of an offering have a router."""
    return bool(offering.services)


def create(db: Connection, of: Row[Any], avoid: Collection[int], tried: str = "") -> tuple[int, list[int]]:
    """Make a network's router on the best host, Starting; return it and the segment memberships to wait for.

    ``tried``: why the hosts to avoid failed, for the refusal when no host is left.
    """
    host_id = place(db, of, avoid, tried)
    at = database.one(db, host, host_id)
    offering = database.one(db, network_offering, of.offering_id)
    mac = next_mac(db, of)
    router_id = database.insert(
        db,
        router,
        uuid=database.new_uuid(),
        name=f"r-{secrets.token_hex(8)}",  # until the id is known, below
        account_id=of.account_id,
        domain_id=of.domain_id,
        zone_id=of.zone_id,
        pod_id=at.pod_id,
        host_id=host_id,
        network_id=of.id,
        service_offering_id=offering.service_offering_id,
        public_mac="06:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(5)),
        guest_mac=mac,
        state=model.STARTING,
        created=database.now(),
    )
    database.change(db, router, router_id, name=f"r-{router_id}-VM")
    database.insert(
        db,
        nic,
        uuid=database.new_uuid(),
        network_id=of.id,
        router_id=router_id,
        mac=mac,
        address=of.gateway,
        device_id=0,
        is_default=False,
        created=database.now(),
    )
    return router_id, begin(db, of.id, router_id, host_id)


def begin(db: Connection, network_id: int, router_id: int, host_id: int) -> list[int]:
    """Ask for a starting router, with every rule that waits for one; return the memberships to wait for."""
    told = segments.join(db, [network_id], host_id)
    wish = desire(db, "router", router_id)
    unstage(db, network_id, wish)
    return told


def unstage(db: Connection, network_id: int, wish: int) -> None:
    """Have a router that was asked for with ``wish`` take every rule that waits for one."""
    waiting = sa.update(rule).where(rule.c.network_id == network_id)
    db.execute(waiting.where(rule.c.state.in_((model.STAGED, model.ADD))).values(state=model.ADD, wish=wish))
    db.execute(waiting.where(rule.c.state == model.REVOKE).values(wish=wish))


def stage(db: Connection, network_id: int) -> None:
    """Let the rules that were on their way wait for a router; those on their way out are gone without one."""
    of = rule.c.network_id == network_id
    db.execute(sa.update(rule).where(of, rule.c.state == model.ADD).values(state=model.STAGED, wish=None))
    db.execute(sa.delete(rule).where(of, rule.c.state == model.REVOKE))


def remove(db: Connection, row: Row[Any]) -> None:
    """Take a router that is no longer on its host out of the books (look at the host's segments after that)."""
    moment = database.now()
    database.change(db, router, row.id, state=model.EXPUNGING, removed=moment)
    db.execute(sa.update(nic).where(nic.c.router_id == row.id, nic.c.removed.is_(None)).values(removed=moment))
    stage(db, row.network_id)


def place(db: Connection, of: Row[Any], avoid: Collection[int], tried: str = "") -> int:
    """Return the host for a network's router; raises InsufficientCapacity."""
    count = (
        sa.select(sa.func.count())
        .where(router.c.host_id == host.c.id, router.c.removed.is_(None))
        .correlate(host)
        .scalar_subquery()
    )
    statement = (
        sa.select(
            host.c.id,
            host.c.pod_id,
            host.c.cluster_id,
            host.c.state,
            host.c.resource_state,
            host.c.hypervisor,
            host.c.facts["isolation"].label("isolation"),
            cluster.c.allocation_state.label("cluster"),
            pod.c.allocation_state.label("pod"),
            count.label("routers"),
        )
        .join(cluster, cluster.c.id == host.c.cluster_id)
        .join(pod, pod.c.id == host.c.pod_id)
        .where(host.c.zone_id == of.zone_id, host.c.removed.is_(None))
    )
    reserved = dedication.Reserved(db)
    hosts = [
        RouterHost(
            id=row.id,
            routers=row.routers,
            up=row.state == "Up",
            enabled=row.resource_state == row.cluster == row.pod == "Enabled",
            isolates=segments.fits(row, of.isolation),
            open=all(
                allows(each, of.account_id, of.domain_id)
                for each in reserved.of(of.zone_id, row.pod_id, row.cluster_id, row.id)
            ),
        )
        for row in db.execute(statement)
    ]
    try:
        return choose(hosts, avoid)
    except NoHost as none:
        last = f"; the last try failed: {tried}" if tried else ""
        raise InsufficientCapacity(f"no host can have the router of network {of.name} ({none}){last}") from none


_NEXT_MAC = Fixed(
    sa.update(network)
    .where(
        network.c.id == sa.bindparam("network"),
        network.c.removed.is_(None),
        network.c.state != model.SHUTDOWN,
        network.c.state != model.DESTROY,
    )
    .values(next_mac=network.c.next_mac + 1)
    .returning(network.c.next_mac)
)
_MAC_IN_USE = Fixed(sa.select(nic.c.id).where(nic.c.mac == sa.bindparam("mac"), nic.c.removed.is_(None)))


def next_mac(db: Connection, of: Row[Any]) -> str:
    """Return a MAC address for a NIC in a network: locally administered, from network and counter, in use nowhere.

    The update also holds the network's row, so that two NICs are never given the same address.
    """
    while True:
        count = _NEXT_MAC(db, {"network": of.id}).scalar_one_or_none()
        if count is None:
            raise ConcurrentChange(f"network {of.name} is being deleted")
        mac = mac_address(of.id, count)
        if _MAC_IN_USE(db, {"mac": mac}).first() is None:
            return mac


def mac_address(network_id: int, count: int) -> str:
    """Return 02 (locally administered, unicast), then 20 bits of the network and 20 of the counter."""
    number = (0x02 << 40) | ((network_id & 0xFFFFF) << 20) | (count & 0xFFFFF)
    return ":".join(f"{byte:02x}" for byte in number.to_bytes(6, "big"))


_DONE = rule.c.network_id == sa.bindparam("network"), rule.c.wish <= sa.bindparam("generation")
_IN_FORCE = Fixed(sa.update(rule).where(*_DONE, rule.c.state == model.ADD).values(state=model.ACTIVE, wish=sa.null()))
_NO_LONGER = Fixed(sa.delete(rule).where(*_DONE, rule.c.state == model.REVOKE))


@converger("router")
class RouterConverger:
    """Applies a router that runs, stops one that stops, destroys one that goes; all through one ordered channel."""

    def render(self, db: Connection, object_id: int) -> Rendered | None:
        """Return the operation for the router's state, or None when its host has nothing to do."""
        row = database.get(db, router, object_id)
        if row is None or row.removed is not None or row.host_id is None:
            return None
        if row.state in model.LIVE:
            arguments, kind = msgspec.to_builtins(rendering.spec(db, row)), "router.apply"
        elif row.state in (model.STOPPING, model.EXPUNGING):
            kind = "router.stop" if row.state == model.STOPPING else "router.destroy"
            arguments = msgspec.to_builtins(RouterReference(name=row.name, generation=desired(db, "router", row.id)))
        else:
            return None
        return Rendered(
            host=row.host_id,
            kind=kind,
            object=f"router:{row.uuid}",
            arguments=arguments,
            timeout=60 if kind == "router.apply" else 20,
        )

    def applied(self, db: Connection, object_id: int, generation: int, result: dict[str, Any]) -> None:
        """Mark the rules that are in force now, and drop those that no longer are."""
        if not result.get("running"):
            return  # it was stopped or destroyed
        row = database.one(db, router, object_id)
        if row.state not in model.LIVE:
            return
        done = {"network": row.network_id, "generation": generation}
        _IN_FORCE(db, done)
        _NO_LONGER(db, done)

    def failed(self, db: Connection, object_id: int, generation: int, failure: Failure) -> None:
        """Tell the operator; the periodic check and every change try again."""
        row = database.one(db, router, object_id)
        log.warning("a router is not as desired", router=row.name, host=row.host_id, reason=failure.message)
        events.alert(
            db, "ALERT.SERVICE.DOMAINROUTER", f"Router {row.name} could not be brought to its state: {failure.message}"
        )
