"""Signing in and out with a password."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import events, origin
from pileus.core.authentication import Anonymous, Facts, Signed
from pileus.core.calls import ACCOUNT_TYPES, Call, Caller
from pileus.core.commands import command
from pileus.core.errors import AuthenticationFailed
from pileus.core.parameters import is_uuid
from pileus.core.services import Services
from pileus.identity import callers, passwords, second_factor, sessions, throttle
from pileus.identity.ldap import making
from pileus.identity.ldap import sign_in as ldap
from pileus.identity.ldap.errors import Unavailable
from pileus.identity.tables import domain, user

log = structlog.get_logger(__name__)

_REFUSED = "unable to sign in: the user name, the password or the domain is wrong, or the user may not sign in"


class _Recorded(Anonymous):
    """What leaves an event of a user who signs in or out."""

    def _record(self, db: Connection, services: Services, caller: Caller, facts: Facts, text: str) -> None:
        call = Call(db=db, caller=caller, services=services, spec=self.spec, request=facts.request)
        call.describe(text, resource=("User", caller.user_uuid))
        events.completed(call)


@command("login", event="USER.LOGIN")
class Login(_Recorded):
    """Sign in by user name and password; later calls carry the session's cookies and its key."""

    username: str
    password: str
    domain: str | None = None
    domainid: str | None = None

    def answer(self, services: Services, facts: Facts) -> Signed:
        name, address = throttle.sign_in(self.username, facts.address)
        with services.database.read() as db:
            throttle.refuse(db, name, address)
        found = self._verified(services)
        caller = None
        if found is not None:
            with services.database.read() as db:
                caller = callers.find(db, found.id)
        if caller is not None and not origin.admits(services, caller.account_id, facts.address):
            log.info("log-in refused: not from this address", username=self.username, address=facts.address)
            raise AuthenticationFailed(f"{_REFUSED} from {facts.address}")
        if caller is None or found is None:
            with services.database.write() as db:
                throttle.settle(db, name, address, right=False)
            log.info("log-in refused", username=self.username, address=facts.address)
            raise AuthenticationFailed(_REFUSED)
        waits = second_factor.needed(services, found)
        with services.database.write() as db:
            throttle.settle(db, name, address, right=True)
            throttle.forget(db, name)  # the failures of the address stay
            token, key = sessions.begin(services, db, caller.user_id, verified=not waits)
            self._record(db, services, caller, facts, f"user {caller.username} signed in from {facts.address}")
        return Signed(content=_content(services, caller, found, key), cookies={"JSESSIONID": token, "sessionkey": key})

    def _verified(self, services: Services) -> Row[Any] | None:
        """Return the user whose password it is: the cloud's own, or one whose password a directory (LDAP) has."""
        with services.database.read() as db:
            within = db.execute(sa.select(domain).where(domain.c.removed.is_(None), self._domain())).one_or_none()
            named = sa.select(user).where(user.c.username == self.username, user.c.removed.is_(None))
            found = db.execute(named.where(user.c.domain_id == within.id)).one_or_none() if within is not None else None
            known = found
            if within is not None and found is None:
                known = making.find_user(db, within.id, self.username)  # a directory minds no case of letters
        if found is not None and found.source != making.LDAP:
            return found if passwords.matches(found.password_hash, self.password) else None
        verified = None
        if within is not None and within.state == "Active" and (known is None or known.source == making.LDAP):
            try:
                verified = ldap.verify(services, within.id, self.username, self.password, known)
            except Unavailable as error:
                log.warning("log-in refused: no server of LDAP answers", domain=within.path, why=str(error))
                raise AuthenticationFailed(_REFUSED) from error  # and not counted: nothing was guessed
        if verified is None:
            passwords.matches(None, self.password)  # takes as long as for the cloud's own users
            return None
        with services.database.read() as db:
            return db.execute(sa.select(user).where(user.c.id == verified)).one_or_none()

    def _domain(self) -> sa.ColumnElement[bool]:
        if self.domainid and is_uuid(self.domainid):
            return domain.c.uuid == self.domainid.lower()
        if self.domainid:
            return domain.c.id == (int(self.domainid) if _number(self.domainid) else -1)
        return domain.c.path == path_of(self.domain)


def path_of(text: str | None) -> str:
    """Return a domain's path with a slash at both ends; "ROOT" may stand at its beginning."""
    inner = (text or "").strip("/")
    if inner.upper() == "ROOT":
        inner = ""
    return f"/{inner}/" if inner else "/"


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 18


def _content(services: Services, caller: Caller, found: Row[Any], key: str) -> dict[str, object]:
    zone = zoneinfo.ZoneInfo(found.timezone or "UTC")
    offset = dt.datetime.now(zone).utcoffset() or dt.timedelta()
    content: dict[str, object] = {
        "username": caller.username,
        "userid": caller.user_uuid,
        "domainid": caller.domain_uuid,
        "timeout": int(sessions.seconds(services)),
        "account": caller.account,
        "firstname": found.firstname,
        "lastname": found.lastname,
        "type": str(ACCOUNT_TYPES[caller.role]),
        "timezone": found.timezone or "UTC",
        "timezoneoffset": str(offset.total_seconds() / 3600),
        "registered": "false",
        "sessionkey": key,
        **second_factor.login_fields(services, found),
    }
    if caller.admin:
        content["managementserverid"] = services.server
    return content


@command("logout", event="USER.LOGOUT")
class Logout(_Recorded):
    """End the session."""

    def answer(self, services: Services, facts: Facts) -> Signed:
        token = facts.cookies.get("JSESSIONID")
        if token:
            with services.database.write() as db:
                user_id = sessions.take(db, token)
                caller = callers.find(db, user_id) if user_id is not None else None
                if caller is not None:
                    self._record(db, services, caller, facts, f"user {caller.username} signed out")
        return Signed(content={"description": "success"}, cookies={"JSESSIONID": "", "sessionkey": ""})
