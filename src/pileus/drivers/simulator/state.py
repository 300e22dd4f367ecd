"""What the simulated hosts hold: for reports, and for tests that compare it with the server's records."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.drivers.simulator import operations, world
from pileus.drivers.simulator.tables import sim_object
from pileus.wire.hosts import Report, RouterState
from pileus.wire.machines import MachineState


def objects(db: Connection, sort: str, host: int | None = None) -> dict[str, Any]:
    """Return all objects of a sort (machine volume router segment fence) by key without the sort."""
    statement = sa.select(sim_object.c.key, sim_object.c.value).where(sim_object.c.sort == sort)
    if host is not None:
        statement = statement.where(sim_object.c.host == host)
    rows = db.execute(statement.order_by(sim_object.c.key)).all()
    return {row.key.partition(":")[2]: msgspec.json.decode(row.value) for row in rows}


def machines(db: Connection, host: int) -> list[MachineState]:
    """Return the machines of a host as it reports them."""
    found = objects(db, "machine", host)
    return [operations.machine_state(key.partition("/")[2], value) for key, value in found.items()]


def routers(db: Connection, host: int) -> list[RouterState]:
    """Return the routers of a host as it reports them."""
    found = objects(db, "router", host)
    return [operations.router_state(key.partition("/")[2], value) for key, value in found.items()]


def volumes(db: Connection) -> dict[str, str]:
    """Return all volumes: uuid -> uuid of the pool."""
    return {key.partition("/")[2]: key.partition("/")[0] for key in objects(db, "volume")}


def report(db: Connection, host: int, uuid: str, sequence: int = 1) -> Report:
    """Return what a host with this uuid would report now."""
    return Report(
        host=uuid, sequence=sequence, boot="simulated", machines=machines(db, host), routers=routers(db, host)
    )


def set_power(db: Connection, host: int, name: str, power: str) -> None:
    """Let a machine be switched on or off by somebody else than management, such as its own guest."""
    key = world.machine(host, name)
    state = world.World(db, [key])
    known = state.get(key)
    if known is None:
        raise LookupError(f"host {host} has no machine {name}")
    state.put(key, host, {**known, "power": power})
    state.save()
