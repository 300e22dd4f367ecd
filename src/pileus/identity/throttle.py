"""Throttling of guesses: after a few failures each further one must wait, twice as long each time.

Log-ins are counted for each user name with address, and (with a higher allowance) for each address; codes of a second
factor, and current passwords typed to set a new one, for each user.  The counts stand in the database: all servers
share them, and a restart does not forget them.

Passwords take long to compare, so many may be compared at once.  What was found is told by ``settle`` only, one after
the other: of a burst, a right guess counts when fewer wrong ones than are free were told before it.
"""

from __future__ import annotations

import hashlib

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.core.database import now
from pileus.core.errors import RateLimited
from pileus.core.jobs import periodic
from pileus.core.services import Services
from pileus.identity.tables import failure

FREE, FREE_PER_ADDRESS = 5, 30
FIRST_WAIT, LONGEST_WAIT = 1.0, 300.0
FORGOTTEN = 86_400.0
"""Seconds after the last failure when all of them are forgotten."""


class Counted(msgspec.Struct, frozen=True):
    """Who is counted, and how many failures need no wait."""

    who: str
    free: int = FREE

    @property
    def key(self) -> str:
        """Return what is kept of it: names that were typed, perhaps a password by mistake, are nobody's to read."""
        return hashlib.sha256(self.who.encode()).hexdigest()


def sign_in(username: str, address: str) -> tuple[Counted, Counted]:
    """Return who is counted when somebody signs in: the name from this address, and the address."""
    return Counted(f"name\n{username.lower()}\n{address}"), Counted(f"address\n{address}", FREE_PER_ADDRESS)


def second_factor(user_id: int) -> Counted:
    """Return who is counted when somebody types a code, from wherever."""
    return Counted(f"code\n{user_id}")


def current_password(user_id: int) -> Counted:
    """Return who is counted when the current password is typed to set a new one."""
    return Counted(f"password\n{user_id}")


def reset(username: str, path: str, address: str) -> tuple[Counted, Counted]:
    """Return who is counted when a new password is asked for: the user, from wherever, and the address."""
    return Counted(f"reset\n{path}\n{username.lower()}"), Counted(f"reset address\n{address}", FREE_PER_ADDRESS)


_count = sa.text(
    "INSERT INTO sign_in_failure (key_hash, amount, last) VALUES (:key, 1, :now) ON CONFLICT (key_hash) DO UPDATE SET"
    " last = :now, amount = CASE WHEN sign_in_failure.last < :old THEN 1 ELSE sign_in_failure.amount + 1 END"
)


_begin = sa.text(
    "INSERT INTO sign_in_failure (key_hash, amount, last) VALUES (:key, 0, :now) ON CONFLICT (key_hash) DO NOTHING"
)


def count(db: Connection, *whom: Counted) -> None:
    """Count a failure."""
    moment = now()
    for each in sorted(whom, key=lambda one: one.key):  # in one order everywhere: no two transactions wait in a ring
        db.execute(_count, {"key": each.key, "now": moment, "old": moment - FORGOTTEN})


def settle(db: Connection, *whom: Counted, right: bool) -> None:
    """Take a guess that was compared, one after the other: refuse it (429), right or wrong, or count a wrong one."""
    if not right:
        for key in sorted(each.key for each in whom):  # a row that is not there cannot be held
            db.execute(_begin, {"key": key, "now": now()})
    refuse(db, *whom, hold=True)
    if not right:
        count(db, *whom)


def refuse(db: Connection, *whom: Counted, hold: bool = False) -> None:
    """Refuse (429) while any of them has to wait; ``hold``: nobody else counts until this transaction ends."""
    moment = now()
    found = sa.select(failure).where(failure.c.key_hash.in_([each.key for each in whom]))
    if hold:
        found = found.order_by(failure.c.key_hash).with_for_update()
    known = {row.key_hash: row for row in db.execute(found) if row.last > moment - FORGOTTEN}
    wait = 0.0
    for each in whom:
        row = known.get(each.key)
        if row is not None and row.amount >= each.free:
            longest = min(FIRST_WAIT * 2.0 ** min(row.amount - each.free, 20), LONGEST_WAIT)
            wait = max(wait, min(row.last + longest - moment, longest))  # whatever the servers' clocks say
    if wait > 0:
        raise RateLimited(f"too many failed tries; try again in {max(wait, 1):.0f} s")


def forget(db: Connection, whom: Counted) -> None:
    """Forget the failures of somebody who has succeeded."""
    db.execute(sa.delete(failure).where(failure.c.key_hash == whom.key))


@periodic("identity.failures", every=3600)
def sweep(services: Services) -> None:
    """Delete what is too old to count."""
    with services.database.write() as db:
        db.execute(sa.delete(failure).where(failure.c.last < now() - FORGOTTEN))
