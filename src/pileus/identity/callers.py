"""Callers: the user, account and domain behind a key or a session, by one query; remembered for a second."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.core import settings
from pileus.core.authentication import Key
from pileus.core.calls import Caller
from pileus.core.services import Services
from pileus.identity import rates, roles, second_factor, sessions, store
from pileus.identity.projects import members
from pileus.identity.tables import account, domain, user

REMEMBERED = 1.0
"""Seconds for which a caller is remembered: a disabled user is refused at the latest then."""

_MOST = 10_000

KEY_ACCESS = settings.declare(
    "api.key.access",
    bool,
    True,
    "Whether API keys are accepted of users for whom, and for whose account, nothing else was said",
    scopes=("global", "domain"),
)

_FACTS = (
    sa.select(
        user.c.id.label("user_id"),
        user.c.uuid.label("user_uuid"),
        user.c.username,
        user.c.secret_key,
        account.c.id.label("account_id"),
        account.c.uuid.label("account_uuid"),
        account.c.name.label("account"),
        account.c.role_type,
        account.c.role_id,
        domain.c.id.label("domain_id"),
        domain.c.uuid.label("domain_uuid"),
        domain.c.path.label("domain_path"),
        user.c.two_factor_state,
        user.c.two_factor_mandated,
        user.c.api_key_access.label("user_access"),
        account.c.api_key_access.label("account_access"),
    )
    .select_from(user.join(account, account.c.id == user.c.account_id).join(domain, domain.c.id == account.c.domain_id))
    .where(
        user.c.removed.is_(None),
        account.c.removed.is_(None),
        user.c.state == "enabled",
        account.c.state == "enabled",
        domain.c.state == "Active",
    )
)
_BY_KEY = _FACTS.where(user.c.api_key == sa.bindparam("api_key"))
_BY_USER = _FACTS.where(user.c.id == sa.bindparam("user"))


def caller_of(db: Connection, row: Any) -> Caller:
    """Return the row as a caller."""
    return Caller(
        user_id=row.user_id,
        user_uuid=row.user_uuid,
        username=row.username,
        account_id=row.account_id,
        account_uuid=row.account_uuid,
        account=row.account,
        domain_id=row.domain_id,
        domain_uuid=row.domain_uuid,
        domain_path=row.domain_path,
        role=row.role_type,
        role_id=row.role_id,
        projects=members.projects_of(db, row.account_id, row.user_id),
    )


def find(db: Connection, user_id: int) -> Caller | None:
    """Return the user as a caller, or None when the user, the account or the domain is not enabled."""
    row = db.execute(_BY_USER, {"user": user_id}).one_or_none()
    return None if row is None else caller_of(db, row)


def _may_use_keys(services: Services, row: Any) -> bool:
    """Tell whether keys are accepted: as the user says, else the account, else the domain's setting."""
    if row.user_access is not None:
        return bool(row.user_access)
    if row.account_access is not None:
        return bool(row.account_access)
    return services.settings.get(KEY_ACCESS, ("domain", row.domain_id))


class Memory:
    """Callers of one server, remembered for a second each."""

    def __init__(self) -> None:
        self.keys: dict[str, tuple[float, Key]] = {}
        self.users: dict[int, tuple[float, Caller | None]] = {}


def memory(services: Services) -> Memory:
    """Return what this server remembers of callers."""
    return services.plugins.setdefault("identity.callers", Memory())


def forget(services: Services) -> None:
    """Look everybody up again at the next call (after a change of keys or states)."""
    memory(services).keys.clear()
    memory(services).users.clear()


class Permissions:
    """Answers what callers may do (core.permissions.Permissions)."""

    def allowed(self, services: Services, caller: Caller) -> frozenset[str]:
        """Return the names of all commands that the caller may call."""
        return roles.allowed(services, caller.role_id)

    def project_allows(self, db: Connection, caller: Caller, account_id: int, command: str) -> bool:
        """Tell whether the caller's role in a project allows a command on what the project owns."""
        return members.allows(db, caller, account_id, command)


class Directory:
    """Answers the edge's questions (core.authentication.Identity)."""

    def by_key(self, services: Services, api_key: str) -> Key | None:
        """Return whose key this is, or None when nobody may sign with it."""
        keys = memory(services).keys
        known = keys.get(api_key)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        with services.database.read() as db:
            row = db.execute(_BY_KEY, {"api_key": api_key}).one_or_none()
            caller = caller_of(db, row) if row is not None else None
        if row is None or caller is None or not row.secret_key or not _may_use_keys(services, row):
            keys.pop(api_key, None)
            return None  # not remembered: anybody could fill the memory with invented keys
        if len(keys) >= _MOST:
            keys.clear()
        key = Key(caller, services.secrets.decrypt(row.secret_key))
        keys[api_key] = (time.monotonic() + REMEMBERED, key)
        return key

    def by_session(self, services: Services, token: str, session_key: str) -> Caller | None:
        """Return whose session this is; a session whose key is wrong is dropped."""
        held = sessions.check(services, token, session_key)
        found = self._user(services, held.user_id) if held is not None else None
        if held is None or found is None:
            return None
        return msgspec.structs.replace(found, session=held.id, verified=held.verified and found.verified)

    def _user(self, services: Services, user_id: int) -> Caller | None:
        """Return a user as a caller, remembered for a second; not verified: a second factor must be set up first."""
        users = memory(services).users
        known = users.get(user_id)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        with services.database.read() as db:
            row: Any = db.execute(_BY_USER, {"user": user_id}).one_or_none()
            found = caller_of(db, row) if row is not None else None
        if row is not None and found is not None and second_factor.missing(services, row):
            return msgspec.structs.replace(found, verified=False)  # not remembered: soon it has one, on another server
        if len(users) >= _MOST:
            users.clear()
        users[user_id] = (time.monotonic() + REMEMBERED, found)
        return found

    def drop_session(self, services: Services, token: str) -> None:
        """End a session."""
        sessions.drop(services, token)

    def admit(self, services: Services, caller: Caller, command: str) -> None:
        """Count a call; raise RateLimited when there are too many, 511 while a second factor is to come."""
        rates.check(services, caller, command)
        if not caller.verified and command not in second_factor.BEFORE_CODE:
            raise second_factor.NotVerified(second_factor.CODE_FIRST)

    def system(self, services: Services) -> Caller:
        """Return the system's own user, a root admin."""
        with services.database.read() as db:
            found = find(db, store.SYSTEM_USER)
        if found is None:
            raise LookupError("the database has no system user; was the first start interrupted?")
        return found
