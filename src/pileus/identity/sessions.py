"""Sessions of people who signed in with a password: hashes of two random tokens, with a sliding end.

The cookie JSESSIONID finds the session; the session key, which a foreign page cannot know, must come both as cookie
and as parameter.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.core import settings
from pileus.core.database import insert, now
from pileus.core.jobs.registry import periodic
from pileus.core.services import Services
from pileus.identity.tables import session, user

TIMEOUT = settings.declare("session.timeout", int, 30, "Minutes after which an unused session ends", minimum=1)

_FIND = sa.select(session).where(session.c.token_hash == sa.bindparam("token"))


class Held(msgspec.Struct, frozen=True):
    """A session that lives: whose it is, and whether a second factor is still to come (``verified`` false)."""

    id: int
    user_id: int
    verified: bool


def begin(services: Services, db: Connection, user_id: int, *, verified: bool = True) -> tuple[str, str]:
    """Start a session for a user; return its token and its key."""
    token, key = secrets.token_urlsafe(32), secrets.token_urlsafe(24)
    moment = now()
    insert(
        db,
        session,
        token_hash=_hash(token),
        key_hash=_hash(key),
        user_id=user_id,
        verified=verified,
        created=moment,
        expires=moment + seconds(services),
    )
    return token, key


def check(services: Services, token: str, key: str) -> Held | None:
    """Return the session and move its end on; one that is asked for with another key is dropped."""
    moment = now()
    with services.database.read() as db:
        row = db.execute(_FIND, {"token": _hash(token)}).one_or_none()
    if row is None or row.expires <= moment:
        return None
    if not hmac.compare_digest(row.key_hash, _hash(key)):
        drop(services, token)
        return None
    length = seconds(services)
    if row.expires - moment < length * 0.95:  # not at every call: that would be a write for each
        with services.database.write() as db:
            db.execute(
                sa.update(session)
                .where(session.c.id == row.id, session.c.expires > moment)
                .values(expires=moment + length)
            )
    return Held(row.id, row.user_id, bool(row.verified))


def drop(services: Services, token: str) -> None:
    """End a session."""
    with services.database.write() as db:
        take(db, token)


def take(db: Connection, token: str) -> int | None:
    """End a session, on every server; return whose it was (None: there is no such session)."""
    gone = sa.delete(session).where(session.c.token_hash == _hash(token)).returning(session.c.user_id)
    return db.execute(gone).scalar_one_or_none()


def seconds(services: Services) -> float:
    """Return how long an unused session lives."""
    return services.settings.get(TIMEOUT) * 60.0


@periodic("identity.sessions", every=600)
def sweep(services: Services) -> None:
    """Delete sessions that have ended."""
    with services.database.write() as db:
        db.execute(sa.delete(session).where(session.c.expires < now()))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def end(db: Connection, user_id: int) -> None:
    """End all sessions of a user, on every server."""
    db.execute(sa.delete(session).where(session.c.user_id == user_id))


def end_others(db: Connection, user_id: int, session_id: int) -> None:
    """End all sessions of a user but one."""
    db.execute(sa.delete(session).where(session.c.user_id == user_id, session.c.id != session_id))


def end_unverified(db: Connection, user_id: int) -> None:
    """End the sessions of a user that wait for a second factor."""
    db.execute(sa.delete(session).where(session.c.user_id == user_id, session.c.verified.is_(False)))


def verify(db: Connection, session_id: int) -> None:
    """Note that the second factor of a session has come."""
    db.execute(sa.update(session).where(session.c.id == session_id).values(verified=True))


def end_of_account(db: Connection, account_id: int) -> None:
    """End all sessions of an account's users."""
    members = sa.select(user.c.id).where(user.c.account_id == account_id)
    db.execute(sa.delete(session).where(session.c.user_id.in_(members)))
