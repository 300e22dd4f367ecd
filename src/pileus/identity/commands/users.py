"""Users: who signs in, each in one account."""

from __future__ import annotations

import zoneinfo
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core.calls import ACCOUNT_TYPES, Call
from pileus.core.commands import Command, command
from pileus.core.database import insert, new_uuid, now, one
from pileus.core.errors import InvalidParameter
from pileus.core.listing import OwnedListCommand, Query
from pileus.core.parameters import Ref, is_uuid
from pileus.identity import passwords, store, views
from pileus.identity.tables import account, user


class NewUser(msgspec.Struct, frozen=True, kw_only=True):
    """A user to be added."""

    username: str
    password_hash: str
    firstname: str
    lastname: str
    email: str
    timezone: str | None
    uuid: str | None
    source: str = "native"
    ldap_linked: bool = False


def check_user(username: str, timezone: str | None, uuid: str | None) -> None:
    """Check what is said of a new user."""
    if username.strip() != username:
        raise InvalidParameter("parameter username may not begin or end with a blank")
    if uuid is not None and not is_uuid(uuid):
        raise InvalidParameter("parameter userid must be the UUID that the new user shall have")
    if timezone is not None and timezone not in zoneinfo.available_timezones():
        raise InvalidParameter(f"parameter timezone: there is no time zone {timezone[:64]!r}; one is Europe/London")


def add_user(call: Call, of: Row[Any], new: NewUser) -> Row[Any]:
    """Write a user of an account."""
    return write_user(call.db, of, new)


def write_user(db: Connection, of: Row[Any], new: NewUser) -> Row[Any]:
    """Write a user of an account, if the name is free in the domain."""
    taken = sa.select(user.c.id).where(
        user.c.domain_id == of.domain_id,
        sa.func.lower(user.c.username) == new.username.lower(),
        user.c.removed.is_(None),
    )
    if db.execute(taken).first() is not None:
        raise InvalidParameter(f"parameter username: the domain has a user {new.username} already")
    values = msgspec.structs.asdict(new) | {"uuid": (new.uuid or new_uuid()).lower()}
    return one(db, user, insert(db, user, account_id=of.id, domain_id=of.domain_id, created=now(), **values))


@command("createUser", event="USER.CREATE")
class CreateUser(Command):
    """Create a user in an account."""

    account: str
    username: str
    password: str
    firstname: str
    lastname: str
    email: str
    domainid: Ref | None = None
    timezone: str | None = None
    userid: str | None = None

    def check(self) -> None:
        """Check the name, the time zone and the id."""
        check_user(self.username, self.timezone, self.userid)

    def prepare(self, services: Any) -> None:
        """Hash the password."""
        self.password_hash = passwords.hashed(self.password)

    def run(self, call: Call) -> dict[str, Any]:
        of = store.owner(call, self.account, self.domainid)
        if of.id == store.SYSTEM_ACCOUNT or of.state != "enabled":
            raise InvalidParameter(f"parameter account: {of.name} cannot get users now")
        passwords.check_policy(call.services, of.domain_id, self.username, self.password)
        row = add_user(
            call,
            of,
            NewUser(
                username=self.username,
                password_hash=self.password_hash,
                firstname=self.firstname,
                lastname=self.lastname,
                email=self.email,
                timezone=self.timezone,
                uuid=self.userid,
            ),
        )
        call.describe(f"creating user {self.username}", owner=row, resource=("User", row.uuid))
        return views.users(call.db, [row], admin=call.caller.admin)[0]


@command("listUsers")
class ListUsers(OwnedListCommand):
    """List the users that the caller may see."""

    id: Ref | None = None
    username: str | None = None
    state: str | None = None
    accounttype: int | None = None
    usersource: str | None = None
    apikeyaccess: str | None = None

    def query(self, call: Call) -> Query:
        """Without listall: the users of the caller's own account."""
        query = Query(user).same(user.c.username, self.username).same(user.c.state, self.state)
        query.contains(self.keyword, user.c.username, user.c.firstname, user.c.lastname, user.c.email)
        query.where(user.c.id != store.SYSTEM_USER)
        if self.apikeyaccess is not None:
            query.where(user.c.api_key_access.is_(views.access_of(self.apikeyaccess)))
        query.same(user.c.source, self.usersource)
        if self.accounttype is not None:
            type_ = next((name for name, number in ACCOUNT_TYPES.items() if number == self.accounttype), "none")
            query.where(user.c.account_id.in_(sa.select(account.c.id).where(account.c.role_type == type_)))
        if self.id is not None:
            query.where(user.c.id == self.id.id)
        return self.owned(call, query, by_id=self.id)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        return views.users(call.db, rows, admin=call.caller.admin, below=call.caller.domain_path)
