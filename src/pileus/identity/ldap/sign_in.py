"""Signing in with a directory's password, and what it does to the cloud's user: made, moved, disabled, enabled."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy.exc
import structlog
from sqlalchemy.engine import Row

from pileus.core.database import after_commit, change, one
from pileus.core.errors import InvalidParameter, RateLimited
from pileus.core.services import Services
from pileus.identity import callers, sessions
from pileus.identity.ldap import config, links, making
from pileus.identity.ldap.directory import connect
from pileus.identity.ldap.links import Placement
from pileus.identity.tables import account, role, user

log = structlog.get_logger(__name__)

_AT_ONCE = threading.BoundedSemaphore(8)  # of the threads of the API: a directory that is slow must not hold them all


def verify(services: Services, domain_id: int, username: str, password: str, row: Row[Any] | None) -> int | None:
    """Return the internal id of the user who signs in with a password of the directory, or None (refused).

    ``row``: the cloud's user of this name, whose source is LDAP, if there is one.  Raises Unavailable, RateLimited.
    """
    with services.database.read() as db:
        linked = links.of_domain(db, domain_id)
        servers = config.servers(db, domain_id)
    if not password or not servers or (row is None and not linked):
        return None
    with _turn(), connect(config.of(services, domain_id, servers)) as directory:
        where = links.place(directory, row.username if row is not None else username, linked)
        if row is None and where.entry is not None:  # another of the entry's names was typed
            with services.database.read() as db:
                row = making.find_user(db, domain_id, where.entry.name)
            if row is not None and row.source != making.LDAP:
                log.warning("sign-in by LDAP refused: the cloud has an own user of this name", username=row.username)
                return None
        if is_gone(row, where, linked):
            if row is not None:
                disable(services, row)
            return None
        if where.entry is None or (row is None and where.link is None):
            return None
        if not directory.is_password(where.entry.dn, password):
            return None
    return _make(services, domain_id, where) if row is None else _keep(services, row, where)


def is_gone(row: Row[Any] | None, where: Placement, linked: Sequence[Any]) -> bool:
    """Tell whether the link that a user came by, or is in the account of, does not cover the user any more."""
    if where.several:
        return True
    if row is None or where.link is not None:
        return False
    return bool(row.ldap_linked) or row.account_id in {each.account_id for each in linked}


def disable(services: Services, row: Row[Any]) -> None:
    """Disable a user whom the directory does not have where the link says; back there, a sign-in enables again."""
    with services.database.write() as db:
        if change(db, user, row.id, expect={"state": "enabled", "removed": None}, state="disabled", ldap_gone=True):
            sessions.end(db, row.id)
            after_commit(db, lambda: callers.forget(services))
            log.warning("a user is disabled: no longer in what is linked with LDAP", username=row.username)


@contextmanager
def _turn() -> Generator[None]:
    if not _AT_ONCE.acquire(timeout=1):
        raise RateLimited("too many people sign in through the directory at this moment; try again")
    try:
        yield
    finally:
        _AT_ONCE.release()


def _make(services: Services, domain_id: int, where: Placement) -> int | None:
    """Make the user, in the linked account or in one of the user's own."""
    assert where.entry is not None  # noqa: S101 (the caller has looked)
    name, link = where.entry.name, where.link
    try:
        with services.database.write() as db:
            other = making.find_user(db, domain_id, name)
            if other is not None:  # made meanwhile, by another sign-in of the same user
                return other.id if other.source == making.LDAP else None
            if link.account_id is not None:
                of = one(db, account, link.account_id)
            else:
                given = one(db, role, link.role_id)
                if given.removed is not None or given.state != "enabled":
                    log.warning("sign-in by LDAP refused: the role of the link is gone or disabled", role=given.name)
                    return None
                if making.find_account(db, domain_id, name) is not None:
                    raise InvalidParameter("another account has the user's name")
                of = making.add_account(db, domain_id, given, name)
            made = making.add_user(db, of, where.entry, linked=True).id
            log.info("a user is made at the first sign-in by LDAP", username=name, account=of.name)
            return made
    except (sqlalchemy.exc.IntegrityError, InvalidParameter) as error:
        with services.database.read() as db:  # perhaps made at the very same moment, by another sign-in of the user
            row = making.find_user(db, domain_id, name)
        if row is not None and row.source == making.LDAP:
            return row.id
        log.warning("sign-in by LDAP refused: the user cannot be made", username=name, why=str(error))
        return None


def _keep(services: Services, row: Row[Any], where: Placement) -> int:
    """Bring a user to what the link says: its account, and enabled again if it was only the link that disabled."""
    values: dict[str, Any] = {}
    if where.link is not None and not row.ldap_linked:
        values["ldap_linked"] = True
    if row.ldap_gone:
        values |= {"ldap_gone": False} | ({"state": "enabled"} if row.state == "disabled" else {})
    to = where.link.account_id if where.link is not None else None
    if to is not None and to != row.account_id:
        values["account_id"] = to
    if values:
        with services.database.write() as db:
            change(db, user, row.id, expect={"removed": None}, **values)
            if "account_id" in values:
                sessions.end(db, row.id)  # what was open was the other account's
            after_commit(db, lambda: callers.forget(services))
            log.info("a user is changed at a sign-in by LDAP", username=row.username, what=sorted(values))
    return row.id
