"""Steps and workflows that bring routers up and take them down.

All of them run under the network's key, so one at a time for each network.  A router's row says what should be; the
converger ``router`` carries every change to the host in its order.
"""

from __future__ import annotations

from typing import Any

import structlog
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.errors import InvalidParameter
from pileus.core.jobs import Job, OperationFailed, desire, undo, workflow
from pileus.infrastructure.tables import host
from pileus.network import model, routers, segments, views_routers
from pileus.network.tables import network as network_table
from pileus.network.tables import network_offering, router

log = structlog.get_logger(__name__)

HOSTS = 4
"""How many hosts are tried for a router."""

APPLY_SECONDS, LEAVE_SECONDS = 90, 30


def key(network_id: int) -> str:
    """Return the key of jobs that change a network or its router."""
    return f"network:{network_id}"


def bring_up(job: Job, network_id: int) -> None:
    """Make the network's router, or start the stopped one, or bring a running one to its newest state; then it runs.

    The router stays in Starting until ``arrived`` is called in the job's last transaction.
    """

    def attempt(_number: int, failures: list[dict[str, Any]]) -> None:
        placed = job.commit("place", lambda db: _place(db, network_id, failures), undo="router.leave")
        if placed is not None:
            segments.wait(job, placed["told"])
            job.converge("router", placed["router"], timeout=APPLY_SECONDS)

    job.retry("router", attempt, times=HOSTS)


def arrived(db: Connection, network_id: int) -> bool:
    """Mark the network's starting router as running; False when it runs no more: its host was removed meanwhile."""
    found = routers.current(db, network_id)
    if found is None or found.state == model.RUNNING:
        return True
    return database.change(db, router, found.id, expect={"state": model.STARTING}, state=model.RUNNING)


def _place(db: Connection, network_id: int, failures: list[dict[str, Any]]) -> dict[str, Any] | None:
    of = database.one(db, network_table, network_id)
    avoid = {failure["host"] for failure in failures if failure.get("host")}
    tried = failures[-1]["message"] if failures else ""
    found = routers.current(db, network_id)
    if found is None:
        if not routers.needed(database.one(db, network_offering, of.offering_id)):
            return None
        made, told = routers.create(db, of, avoid, tried)
        return {"router": made, "was": None, "told": told}
    if found.state in model.LIVE:
        desire(db, "router", found.id)
        return {"router": found.id, "was": found.state, "told": []}
    host_id = found.host_id
    if host_id is None or host_id in avoid or _lost(db, host_id) or _maintained(db, host_id):
        host_id = routers.place(db, of, avoid, tried)
    database.change(db, router, found.id, state=model.STARTING, host_id=host_id)
    return {"router": found.id, "was": found.state, "told": routers.begin(db, network_id, found.id, host_id)}


def _lost(db: Connection, host_id: int) -> bool:
    row = database.get(db, host, host_id)
    return row is None or row.removed is not None or row.state != "Up"


def _maintained(db: Connection, host_id: int) -> bool:
    return "Maintenance" in database.one(db, host, host_id).resource_state


@undo("router.leave")
def leave(job: Job, output: dict[str, Any] | None) -> None:
    """Take back a placement: the router leaves the host where it failed, if the host still answers."""
    if output is None or output["was"] in model.LIVE:
        return
    router_id, stopped = output["router"], output["was"] is not None
    job.commit("leave", lambda db: _go(db, router_id, model.STOPPING if stopped else model.EXPUNGING))
    _settle(job, router_id, tolerant=True)
    job.commit("left", lambda db: release_segment(db, _gone(db, router_id)))


Left = tuple[int, int]
"""Network and host of a router that has left, whose segment is to be looked at."""


def take_down(job: Job, network_id: int, *, stop: bool, tolerant: bool = False) -> Left | None:
    """Stop the network's router, or destroy it; return what it left (None: there was nothing to do).

    ``tolerant``: go on when the host does not answer; when it comes back, its report has the router removed.
    """
    down = job.commit("down", lambda db: _down(db, network_id, stop), undo="router.stay")
    if down is None:
        return None
    _settle(job, down["router"], tolerant=tolerant or down["lost"])
    left = job.commit("gone", lambda db: _gone(db, down["router"]))
    return None if left is None else (left[0], left[1])


def release_segment(db: Connection, left: Left | None) -> list[int]:
    """Let the host that a router has left free the segment; return the memberships to wait for."""
    return [] if left is None else segments.review(db, [left[0]], left[1])


def _down(db: Connection, network_id: int, stop: bool) -> dict[str, Any] | None:
    found = routers.current(db, network_id)
    if found is None or (stop and found.state == model.STOPPED):
        return None
    _go(db, found.id, model.STOPPING if stop else model.EXPUNGING)
    return {"router": found.id, "was": found.state, "lost": found.host_id is None or _lost(db, found.host_id)}


def _go(db: Connection, router_id: int, state: str) -> None:
    database.change(db, router, router_id, state=state)
    desire(db, "router", router_id)


@undo("router.stay")
def stay(job: Job, output: dict[str, Any] | None) -> None:
    """Keep a router that could not be taken down."""
    if output is None:
        return

    def work(db: Connection) -> None:
        row = database.one(db, router, output["router"])
        if row.removed is None and row.state in (model.STOPPING, model.EXPUNGING):
            was = model.STOPPED if row.host_id is None else output["was"]  # its host was removed meanwhile
            database.change(db, router, row.id, state=was)
            wish = desire(db, "router", row.id)
            if was in model.LIVE:
                routers.unstage(db, row.network_id, wish)

    job.commit("stay", work)


def _settle(job: Job, router_id: int, *, tolerant: bool) -> None:
    """Wait until the host has done what the router's state says."""
    try:
        job.converge("router", router_id, timeout=LEAVE_SECONDS)
    except OperationFailed as failure:
        if not tolerant:
            raise
        log.warning(
            "a router could not be taken off its host; the host's next report has it removed",
            router=router_id,
            host=failure.host,
            reason=failure.failure.message,
        )


def _gone(db: Connection, router_id: int) -> Left | None:
    """Record that a router has left; return network and host, whose segment is to be looked at."""
    row = database.one(db, router, router_id)
    if row.removed is not None:
        return None
    if row.state == model.EXPUNGING:
        routers.remove(db, row)
    else:
        database.change(db, router, router_id, state=model.STOPPED)
        routers.stage(db, row.network_id)
    return None if row.host_id is None else (row.network_id, row.host_id)


@workflow("router.start")
def start(job: Job, network: int) -> None:
    """Start a stopped router."""
    bring_up(job, network)

    def started(db: Connection) -> dict[str, Any]:
        arrived(db, network)
        return _view(job, db, routers.current(db, network))

    job.finish("started", started)


@workflow("router.stop")
def stop(job: Job, network: int, forced: bool = False) -> None:
    """Stop a router; the network's rules and machines stay as they are."""
    left = take_down(job, network, stop=True, tolerant=forced)

    def stopped(db: Connection) -> dict[str, Any]:
        release_segment(db, left)
        return _view(job, db, routers.current(db, network))

    job.finish("stopped", stopped)


@workflow("router.reboot")
def reboot(job: Job, network: int, forced: bool = False) -> None:
    """Stop a router and start it again."""
    left = take_down(job, network, stop=True, tolerant=forced)
    bring_up(job, network)

    def rebooted(db: Connection) -> dict[str, Any]:
        arrived(db, network)
        release_segment(db, left)
        return _view(job, db, routers.current(db, network))

    job.finish("rebooted", rebooted)


@workflow("router.destroy")
def destroy(job: Job, network: int, router_id: int) -> None:
    """Destroy a router; the network gets a new one when a machine starts in it, or when it is restarted."""
    left = take_down(job, network, stop=False)

    def destroyed(db: Connection) -> dict[str, Any]:
        release_segment(db, left)
        database.change(db, network_table, network, expect={"state": model.IMPLEMENTED}, restart_required=True)
        return _view(job, db, database.one(db, router, router_id))

    job.finish("destroyed", destroyed)


def _view(job: Job, db: Connection, row: Row[Any] | None) -> dict[str, Any]:
    if row is None:
        raise InvalidParameter("the router was destroyed meanwhile")
    return {"router": views_routers.routers(db, [row], admin=job.admin)[0]}
