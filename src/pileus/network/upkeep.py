"""What keeps networks as they should be: reports of hosts, the periodic check, deleted accounts, removed hosts."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database, jobs
from pileus.core.jobs import Job, desire, periodic, workflow
from pileus.core.jobs.tables import convergence
from pileus.core.jobs.tables import job as job_table
from pileus.core.services import Services
from pileus.network import addresses, machines, model, router_jobs, routers, rules, segments, workflows
from pileus.network.tables import ip_range, network, nic, public_address, router, rule, segment_member
from pileus.wire.hosts import Report, RouterState

log = structlog.get_logger(__name__)

CHECK_SECONDS = 30
_ENDED = ("done", "failed", "cancelled")


def observe(db: Connection, host_row: Row[Any], report: Report) -> None:
    """Compare the routers that a host reports with those that it should have; ask for what differs."""
    expected = {
        row.uuid: row
        for row in db.execute(sa.select(router).where(router.c.host_id == host_row.id, router.c.removed.is_(None)))
    }
    for state in report.routers:
        row = expected.pop(state.uuid, None)
        if row is None:
            _sweep(db, host_row, state)
        elif state.drift:
            log.warning("a host has repaired a router", router=state.name, host=host_row.name)
        elif row.state == model.RUNNING and not state.running:
            _again(db, row, host_row, "does not run")
    for row in expected.values():
        if row.state == model.RUNNING:
            _again(db, row, host_row, "is not there")
    if report.facts is not None and report.facts.tunnel_address != host_row.tunnel_address:
        log.info("a host has another tunnel address", host=host_row.name, address=report.facts.tunnel_address)
        segments.readdressed(db, host_row.id)


def _again(db: Connection, row: Row[Any], host_row: Row[Any], what: str) -> None:
    """Ask for a router again, unless that is being done already."""
    pending = sa.select(convergence.c.object_id).where(
        convergence.c.kind == "router",
        convergence.c.object_id == row.id,
        convergence.c.applied < convergence.c.desired,
    )
    if db.execute(pending).first() is None:
        log.warning(f"a router {what} on its host; applying it again", router=row.name, host=host_row.name)
        desire(db, "router", row.id)


def _sweep(db: Connection, host_row: Row[Any], state: RouterState) -> None:
    """Have a router removed that the host should not have any more, as after a time when it could not be reached."""
    name = f"sweep:{host_row.id}:{state.name}"
    active = sa.select(job_table.c.id).where(job_table.c.key == name, job_table.c.state.not_in(_ENDED))
    if db.execute(active).first() is None:
        log.warning("a host has a router that is not its own; removing it", router=state.name, host=host_row.name)
        arguments = {"host": host_row.id, "name": state.name, "uuid": state.uuid}
        jobs.submit(db, sweep, key=name, arguments=arguments, deadline_seconds=120)


@workflow("router.sweep")
def sweep(job: Job, host: int, name: str, uuid: str) -> None:
    """Remove a router from a host that should not have it."""

    def stray(db: Connection) -> bool:
        own = router.c.uuid == uuid, router.c.host_id == host, router.c.removed.is_(None)
        return db.execute(sa.select(router.c.id).where(*own)).first() is None

    if job.commit("look", stray):
        job.call("destroy", host, "router.destroy", f"stray-router:{uuid}", {"name": name}, timeout=60)


@periodic("router.check", every=CHECK_SECONDS)
def check(services: Services) -> None:
    """Try routers and segments again whose newest state was given up."""
    with services.database.write() as db:
        given_up = (
            sa.select(convergence.c.kind, convergence.c.object_id)
            .where(
                convergence.c.kind.in_(("router", "segment")),
                convergence.c.applied < convergence.c.desired,
                convergence.c.in_flight.is_(None),
                convergence.c.next_try.is_(None),
            )
            .order_by(convergence.c.object_id)
            .limit(200)
        )
        for row in db.execute(given_up).all():
            if _wanted(db, row.kind, row.object_id):
                log.info("a desired state is tried again", kind=row.kind, object=row.object_id)
                desire(db, row.kind, row.object_id)


@periodic("segment.settle", every=10)
def settle(services: Services) -> None:
    """Tell hosts the peers of their segments once more when that may have been lost."""
    with services.database.read() as db:
        if db.execute(sa.select(segment_member.c.id).where(segment_member.c.unsettled).limit(1)).first() is None:
            return
    with services.database.write() as db:
        segments.settle(db)


def _wanted(db: Connection, kind: str, object_id: int) -> bool:
    found = database.get(db, router if kind == "router" else segment_member, object_id)
    return found is not None and (kind == "segment" or found.removed is None)


def host_removed(db: Connection, host_row: Row[Any]) -> None:
    """Take the routers of a host that is removed by force for stopped, ready to be started on another host."""
    of = router.c.host_id == host_row.id, router.c.removed.is_(None)
    for row in db.execute(sa.select(router).where(*of)).all():
        # One that goes is done with as soon as its job sees that there is no host left.
        state = model.EXPUNGING if row.state == model.EXPUNGING else model.STOPPED
        database.change(db, router, row.id, state=state, host_id=None)
        routers.stage(db, row.network_id)
        database.change(db, network, row.network_id, restart_required=True)
    members = sa.select(segment_member.c.network_id).where(segment_member.c.host_id == host_row.id)
    left = list(db.execute(members).scalars())
    db.execute(sa.delete(segment_member).where(segment_member.c.host_id == host_row.id))
    for network_id in left:
        segments.tell_others(db, network_id, host_row.id)


def visits(db: Connection, account_ids: Collection[int]) -> list[tuple[int, str]]:
    """Return the machines of others in networks of these accounts: whose they are, and which."""
    there = machines.table()
    found = (
        sa.select(there.c.account_id, there.c.name, network.c.name.label("of"))
        .select_from(network)
        .join(nic, nic.c.network_id == network.c.id)
        .join(there, there.c.id == nic.c.machine_id)
        .where(
            network.c.account_id.in_(account_ids),
            network.c.removed.is_(None),
            nic.c.removed.is_(None),
            there.c.account_id != network.c.account_id,
        )
        .order_by(there.c.id)
    )
    return [(row.account_id, f"machine {row.name} is in network {row.of}") for row in db.execute(found)]


def delete_networks(job: Job, account_id: int) -> None:
    """Delete an account's networks and give its public addresses back (its machines are gone by then)."""
    own = network.c.account_id == account_id, network.c.removed.is_(None)

    def listed(db: Connection) -> list[int]:
        return list(db.execute(sa.select(network.c.id).where(*own).order_by(network.c.id)).scalars())

    for network_id in job.commit("networks", listed):
        job.child(
            f"network/{network_id}",
            workflows.delete,
            key=router_jobs.key(network_id),
            arguments={"network": network_id, "forced": True},
        )

    def let_go(db: Connection) -> None:
        held = sa.select(public_address).where(
            public_address.c.account_id == account_id, public_address.c.network_id.is_(None)
        )
        ids = [row.id for row in db.execute(held)]
        db.execute(sa.delete(rule).where(rule.c.address_id.in_(ids)))
        rules.unmap(db, ids)
        addresses.give_back(db, ids)
        _release(db, ip_range.c.account_id == account_id)

    job.commit("addresses", let_go)


def domains_gone(db: Connection, domain_ids: Collection[int]) -> None:
    """Release the ranges of public addresses that were dedicated to domains that are deleted."""
    _release(db, ip_range.c.domain_id.in_(domain_ids))


def _release(db: Connection, whose: sa.ColumnElement[bool]) -> None:
    db.execute(sa.update(ip_range).where(whose).values(account_id=None, domain_id=None))
