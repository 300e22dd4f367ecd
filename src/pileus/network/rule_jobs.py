"""Jobs of rules, public addresses and static NAT.

The command has written the rows and asked for the router's newest state; the job waits until the router has it.  Jobs
on different rules run side by side: those that come together share one operation of the router.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.core import database
from pileus.core.errors import InvalidParameter
from pileus.core.jobs import Job, JobFailed, workflow
from pileus.network import addresses, model, routers, rules, views_rules
from pileus.network.tables import public_address, rule

_VIEWS: dict[str, tuple[str, Callable[..., list[dict[str, Any]]]]] = {
    model.FIREWALL: ("firewallrule", views_rules.firewall),
    model.EGRESS: ("firewallrule", views_rules.firewall),
    model.FORWARDING: ("portforwardingrule", views_rules.forwarding),
    model.STATIC_NAT: ("ipforwardingrule", views_rules.ip_forwarding),
}


def _not_added(job: Job, db: Connection, _error: JobFailed) -> None:
    rules.give_up(db, job.arguments["ids"])


@workflow("network.rules.add", on_failure=_not_added)
def add(job: Job, ids: list[int], router: int | None) -> None:
    """Wait until new rules are in force, and show the first one."""
    if router is not None:
        job.converge("router", router)

    def added(db: Connection) -> dict[str, Any]:
        rows = {row.id: row for row in db.execute(sa.select(rule).where(rule.c.id.in_(ids)))}
        if ids[0] not in rows:
            raise InvalidParameter("the rule was deleted meanwhile")
        _without_router(db, rows[ids[0]].network_id)
        row = database.one(db, rule, ids[0])
        key, view = _VIEWS[row.purpose]
        return {key: view(db, [row], admin=job.admin)[0]}

    job.finish("added", added)


def _without_router(db: Connection, network_id: int) -> None:
    """Let rules wait for the next router when the one that was to take them is gone."""
    if routers.live(db, network_id) is None:
        routers.stage(db, network_id)


def _kept(job: Job, db: Connection, _error: JobFailed) -> None:
    rules.keep(db, job.arguments["ids"])


@workflow("network.rules.revoke", on_failure=_kept)
def revoke(job: Job, ids: list[int], router: int | None) -> None:
    """Wait until rules are no longer in force."""
    if router is not None:
        job.converge("router", router)
    job.finish("revoked", lambda db: _revoked(db, ids))


def _revoked(db: Connection, ids: Sequence[int]) -> dict[str, Any]:
    left = db.execute(sa.select(rule.c.network_id).where(rule.c.id.in_(ids), rule.c.state == model.REVOKE)).first()
    if left is not None:
        _without_router(db, left.network_id)
    return {"success": True}


def _not_associated(job: Job, db: Connection, _error: JobFailed) -> None:
    row = database.one(db, public_address, job.arguments["address"])
    if row.state == model.ALLOCATING:
        addresses.give_back(db, [row.id])
        routers.want(db, row.network_id)


@workflow("network.address.associate", on_failure=_not_associated)
def associate(job: Job, address: int, router: int | None) -> None:
    """Wait until a router has its new address, and show it."""
    if router is not None:
        job.converge("router", router)

    def associated(db: Connection) -> dict[str, Any]:
        database.change(db, public_address, address, expect={"state": model.ALLOCATING}, state=model.TAKEN)
        row = database.one(db, public_address, address)
        return {"ipaddress": views_rules.addresses(db, [row], admin=job.admin)[0]}

    job.finish("associated", associated)


def _not_released(job: Job, db: Connection, _error: JobFailed) -> None:
    database.change(db, public_address, job.arguments["address"], expect={"state": model.RELEASING}, state=model.TAKEN)
    rules.keep(db, job.arguments["ids"])
    row = database.one(db, public_address, job.arguments["address"])
    if row.network_id is not None:
        routers.want(db, row.network_id)


@workflow("network.address.release", on_failure=_not_released)
def release(job: Job, address: int, ids: list[int], router: int | None) -> None:
    """Wait until a router no longer has an address, then free it with its rules."""
    del ids  # for the failure, above
    if router is not None:
        job.converge("router", router)

    def released(db: Connection) -> dict[str, Any]:
        row = database.one(db, public_address, address)
        if row.state == model.RELEASING:  # else it went with its network meanwhile
            db.execute(sa.delete(rule).where(rule.c.address_id == address))
            addresses.give_back(db, [address])
        return {"success": True}

    job.finish("released", released)


def _not_mapped(job: Job, db: Connection, _error: JobFailed) -> None:
    row = database.one(db, public_address, job.arguments["address"])
    if row.is_static_nat and row.nic_id == job.arguments["nic"] and not job.arguments.get("again"):
        rules.unmap(db, [row.id])
        routers.want(db, row.network_id)


@workflow("network.nat.enable", on_failure=_not_mapped)
def enable_nat(job: Job, address: int, nic: int, router: int | None, again: bool = False) -> None:
    """Wait until an address leads to its machine; ``again``: it did so before, and goes on whatever happens."""
    del address, nic, again  # for the failure, above
    if router is not None:
        job.converge("router", router)
    job.finish("mapped", lambda _db: {"success": True})


def _mapped_still(job: Job, db: Connection, _error: JobFailed) -> None:
    """Map the address again as it was, when nothing else has been made of it."""
    arguments = job.arguments
    database.change(
        db,
        public_address,
        arguments["address"],
        expect={"state": model.TAKEN, "is_static_nat": False},
        is_static_nat=True,
        machine_id=arguments["machine"],
        nic_id=arguments["nic"],
    )
    rules.keep(db, arguments["ids"])
    routers.want(db, database.one(db, public_address, arguments["address"]).network_id)


@workflow("network.nat.disable", on_failure=_mapped_still)
def disable_nat(job: Job, *, address: int, machine: int, nic: int, ids: list[int], router: int | None) -> None:
    """Wait until an address no longer leads to its machine, and its firewall rules are gone.

    ``machine`` and ``nic`` say how it was, should it have to be put back.
    """
    del machine, nic
    if router is not None:
        job.converge("router", router)
    job.finish("unmapped", lambda db: _revoked(db, ids))
