"""Jobs of networks: implement, restart, delete, show a change; and what compute's jobs take from them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy import Connection

from pileus.core import database
from pileus.core.errors import InUse, InvalidParameter
from pileus.core.jobs import Job, JobFailed, OperationFailed, undo, workflow
from pileus.identity import sharing
from pileus.network import addresses, model, networks, nics, router_jobs, rules, segments, views
from pileus.network.tables import network as network_table
from pileus.network.tables import network_offering, network_permission, nic, rule

log = structlog.get_logger(__name__)

RELEASE_SECONDS = 30


def join(job: Job, network_ids: Iterable[int], host_id: int) -> None:
    """Let a host take part in networks before a machine starts there, and wait until the other hosts know it.

    A job that places its machine in a step of its own saves a transaction: ``segments.join`` in that step, then
    ``segments.wait``.
    """
    wanted = sorted(set(network_ids))
    segments.wait(job, job.commit("segments", lambda db: segments.join(db, wanted, host_id)))


def _not_implemented(job: Job, db: Connection, _error: JobFailed) -> None:
    """Leave no network half implemented (its steps are undone by now)."""
    database.change(
        db, network_table, job.arguments["network"], expect={"state": model.IMPLEMENTING}, state=model.ALLOCATED
    )


@workflow("network.implement", on_failure=_not_implemented)
def implement(job: Job, network: int) -> None:
    """Make a network usable: its tag, its source NAT address, its router; one that is usable already is left alone."""
    prepared = job.commit("prepare", lambda db: _prepare(db, network), undo="network.unprepare")
    if not prepared["ready"]:
        router_jobs.bring_up(job, network)

    def implemented(db: Connection) -> dict[str, Any]:
        if not prepared["ready"]:
            database.change(
                db,
                network_table,
                network,
                expect={"state": (model.IMPLEMENTING, model.IMPLEMENTED)},
                state=model.IMPLEMENTED,
                restart_required=not router_jobs.arrived(db, network),
            )
        return {"network": views.networks(db, [database.one(db, network_table, network)], admin=job.admin)[0]}

    job.finish("implemented", implemented)


def _prepare(db: Connection, network_id: int) -> dict[str, Any]:
    row = database.one(db, network_table, network_id)
    if row.removed is not None or row.state in (model.SHUTDOWN, model.DESTROY):
        raise InvalidParameter(f"network {row.name} was deleted meanwhile")
    if networks.ready(db, row):
        return {"ready": True, "network": network_id, "tag": False, "address": None}
    database.change(db, network_table, row.id, expect={"state": model.ALLOCATED}, state=model.IMPLEMENTING)
    address = None
    offering = database.one(db, network_offering, row.offering_id)
    if "SourceNat" in offering.services and addresses.source_nat(db, row.id) is None:
        address = addresses.take(db, row.zone_id, row, network_id=row.id, source_nat=True).id
    tagged = row.tag is None
    if tagged:
        segments.take_tag(db, row)
    return {"ready": False, "network": network_id, "tag": tagged, "address": address}


@undo("network.unprepare")
def unprepare(job: Job, output: dict[str, Any]) -> None:
    """Give the tag and the source NAT address back that this job took."""

    def work(db: Connection) -> None:
        if output["tag"]:
            segments.forget_network(db, output["network"])
            segments.give_tag_back(db, output["network"])
        address = output["address"]
        if address is not None and not rules.of_address(db, address):  # with rules of the user's it stays
            addresses.give_back(db, [address])

    job.commit("unprepare", work)


def _restart_failed(job: Job, db: Connection, _error: JobFailed) -> None:
    """Say that the network is not as it should be."""
    database.change(db, network_table, job.arguments["network"], restart_required=True)


@workflow("network.restart", on_failure=_restart_failed)
def restart(job: Job, network: int, cleanup: bool) -> None:
    """Bring a network's router to its newest state; with ``cleanup`` destroy it first and make a new one."""
    left = router_jobs.take_down(job, network, stop=False) if cleanup else None
    router_jobs.bring_up(job, network)

    def restarted(db: Connection) -> dict[str, Any]:
        runs = router_jobs.arrived(db, network)
        router_jobs.release_segment(db, left)
        database.change(db, network_table, network, restart_required=not runs)
        return {"success": True}

    job.finish("restarted", restarted)


def _not_deleted(job: Job, db: Connection, _error: JobFailed) -> None:
    """Open the network again: its router could not be taken down, so it is still there."""
    row = database.one(db, network_table, job.arguments["network"])
    state = model.ALLOCATED if row.tag is None else model.IMPLEMENTED
    database.change(db, network_table, row.id, expect={"state": model.SHUTDOWN}, state=state)


@workflow("network.delete", on_failure=_not_deleted)
def delete(job: Job, network: int, forced: bool = False) -> None:
    """Delete a network that no machine uses, with its router, rules, addresses and tag.

    ``forced``: also when the router's host does not answer; the router is removed when the host is back.
    """
    if not job.commit("shutdown", lambda db: _shut(db, network)):
        job.finish("gone already", lambda _db: {"success": True})
        return
    left = router_jobs.take_down(job, network, stop=False, tolerant=forced)
    for member in job.commit("release", lambda db: router_jobs.release_segment(db, left)) if left else []:
        try:
            job.converge("segment", member, timeout=RELEASE_SECONDS)
        except OperationFailed as failure:
            log.warning(
                "the segment of a deleted network stays on a host", host=failure.host, reason=failure.failure.message
            )

    def deleted(db: Connection) -> dict[str, Any]:
        remove(db, network)
        return {"success": True}

    job.finish("deleted", deleted)


def _shut(db: Connection, network_id: int) -> bool:
    """Let nobody use the network any more; False when it is gone."""
    row = database.one(db, network_table, network_id)
    if row.removed is not None:
        return False
    database.change(
        db, network_table, row.id, expect={"state": (model.ALLOCATED, model.IMPLEMENTED)}, state=model.SHUTDOWN
    )
    refuse_used(db, row.id, row.name)
    return True


def refuse_used(db: Connection, network_id: int, name: str) -> None:
    """Raise InUse while machines have NICs in the network."""
    count = nics.plugged(db, network_id)
    if count:
        machine = database.metadata.tables["machine"]  # a later slice's
        plugged = sa.select(nic.c.machine_id).where(nic.c.network_id == network_id, nic.c.removed.is_(None))
        named = sa.select(machine.c.name).where(machine.c.id.in_(plugged)).order_by(machine.c.id).limit(3)
        names = ", ".join(db.execute(named).scalars())
        raise InUse(
            f"network {name} cannot be deleted while {count} NIC{'s' if count > 1 else ''} of machines "
            f"{'are' if count > 1 else 'is'} plugged into it ({names}{', …' if count > 3 else ''}); expunge these "
            "machines first"
        )


def remove(db: Connection, network_id: int) -> None:
    """Take a network without router out of the books, with everything that is its own."""
    db.execute(sa.delete(rule).where(rule.c.network_id == network_id))
    addresses.give_back(db, [row.id for row in addresses.of_network(db, network_id)])
    segments.forget_network(db, network_id)
    segments.give_tag_back(db, network_id)
    sharing.revoke(db, network_permission, network_id)
    database.change(db, network_table, network_id, state=model.DESTROY, removed=database.now())


@workflow("network.update")
def update(job: Job, network: int, router: int | None) -> None:
    """Wait until a network's router knows a change, and show the network."""
    if router is not None:
        job.converge("router", router)

    def updated(db: Connection) -> dict[str, Any]:
        return {"network": views.networks(db, [database.one(db, network_table, network)], admin=job.admin)[0]}

    job.finish("updated", updated)
