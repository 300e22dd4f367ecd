"""The audit of usage: is what will be billed exactly what the records say is there?

Only objects with any event of a kind are looked at: tests and benches also make rows by hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.compute.tables import machine
from pileus.core.tables import usage_event
from pileus.images.tables import template, template_copy
from pileus.network.tables import nic, public_address
from pileus.storage.tables import volume

Seen = Mapping[str, Counter[str]]
"""Of an object (its UUID): how many events of each type."""


def findings(db: Connection) -> Iterator[str]:
    """Yield one sentence for each disagreement."""
    seen = _seen(db)
    for check in (_machines, _volumes, _addresses, _nics, _templates):
        yield from check(db, seen)


def _seen(db: Connection) -> Seen:
    balance: dict[str, Counter[str]] = {}
    found = sa.select(usage_event.c.resource_uuid, usage_event.c.type, sa.func.count())
    for uuid, type_, count in db.execute(found.group_by(usage_event.c.resource_uuid, usage_event.c.type)):
        balance.setdefault(uuid, Counter())[type_] = count
    return balance


def _open(seen: Seen, uuid: str, begins: str, ends: str) -> int | None:
    """Return how many uses of an object have begun and not ended; None when it has no event of them."""
    events = seen.get(uuid)
    if events is None or not (events[begins] or events[ends]):
        return None
    return events[begins] - events[ends]


def _machines(db: Connection, seen: Seen) -> Iterator[str]:
    for row in db.execute(sa.select(machine.c.uuid, machine.c.state, machine.c.removed)):
        there = row.removed is None and row.state not in ("Destroyed", "Expunging", "Error")
        runs = row.removed is None and row.state in ("Running", "Stopping", "Migrating")
        made = _open(seen, row.uuid, "VM.CREATE", "VM.DESTROY")
        started = _open(seen, row.uuid, "VM.START", "VM.STOP")
        if made not in (None, there) or started not in (None, runs) or (runs and made is not None and started is None):
            yield f"machine {row.uuid} is {row.state}, but its usage says {dict(seen[row.uuid])}"


def _volumes(db: Connection, seen: Seen) -> Iterator[str]:
    for row in db.execute(sa.select(volume.c.uuid, volume.c.state, volume.c.removed)):
        there = row.removed is None and row.state not in ("Destroy", "Expunging", "Expunged")
        if _open(seen, row.uuid, "VOLUME.CREATE", "VOLUME.DELETE") not in (None, there):
            yield f"volume {row.uuid} is {row.state}, but its usage says {dict(seen[row.uuid])}"


def _addresses(db: Connection, seen: Seen) -> Iterator[str]:
    for row in db.execute(sa.select(public_address.c.uuid, public_address.c.address, public_address.c.account_id)):
        if _open(seen, row.uuid, "NET.IPASSIGN", "NET.IPRELEASE") not in (None, row.account_id is not None):
            taken = "free" if row.account_id is None else "taken"
            yield f"address {row.address} is {taken}, but its usage says {dict(seen[row.uuid])}"


def _nics(db: Connection, seen: Seen) -> Iterator[str]:
    for row in db.execute(sa.select(nic.c.uuid, nic.c.removed)):
        there = row.removed is None
        if _open(seen, row.uuid, "NETWORK.OFFERING.ASSIGN", "NETWORK.OFFERING.REMOVE") not in (None, there):
            yield f"NIC {row.uuid} is {'there' if there else 'removed'}, but its usage says {dict(seen[row.uuid])}"


def _templates(db: Connection, seen: Seen) -> Iterator[str]:
    ready = sa.select(template_copy.c.template_id).where(template_copy.c.state == "Ready")
    copies = Counter(db.execute(ready).scalars())
    for row in db.execute(sa.select(template.c.id, template.c.uuid, template.c.name)):
        if _open(seen, row.uuid, "TEMPLATE.CREATE", "TEMPLATE.DELETE") not in (None, copies[row.id]):
            yield f"template {row.name} has {copies[row.id]} copies, but its usage says {dict(seen[row.uuid])}"
