"""Changing, disabling, locking, moving and deleting users."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core.calls import DOMAIN_ADMIN, RESOURCE_ADMIN, Call
from pileus.core.commands import Command, Success, command
from pileus.core.database import after_commit, change, now, one
from pileus.core.errors import ConcurrentChange, InvalidParameter, MissingParameter, PermissionDenied
from pileus.core.parameters import Ref
from pileus.core.services import Services
from pileus.identity import (
    callers,
    password_reset,
    passwords,
    second_factor,
    sessions,
    store,
    throttle,
    views,
    workflows,
)
from pileus.identity.commands.users import check_user
from pileus.identity.tables import account, domain, user


def changed(call: Call, row: Row[Any], text: str) -> None:
    """Describe what was done to a user, and let every server look the user up again."""
    after_commit(call.db, lambda: callers.forget(call.services))
    call.describe(f"{text} user {row.username}", owner=row, resource=("User", row.uuid))


def refuse_default(row: Row[Any], what: str) -> None:
    """Refuse what would lock everybody out."""
    if row.is_default:
        raise PermissionDenied(f"user {row.username} belongs to the cloud itself and cannot be {what}")


@command("updateUser", event="USER.UPDATE")
class UpdateUser(Command):
    """Change a user; who is no admin changes only the own user, and the password with the current one."""

    id: Ref
    username: str | None = None
    password: str | None = None
    currentpassword: str | None = None
    firstname: str | None = None
    lastname: str | None = None
    email: str | None = None
    timezone: str | None = None
    userapikey: str | None = None
    usersecretkey: str | None = None
    apikeyaccess: str | None = None
    mandate2fa: bool | None = None
    guessed_wrong = False

    def check(self) -> None:
        """Check names, the time zone and the keys."""
        check_user(self.username if self.username is not None else "-", self.timezone, None)
        if (self.userapikey is None) != (self.usersecretkey is None):
            raise MissingParameter("parameters userapikey and usersecretkey go together")
        for name in ("username", "firstname", "lastname", "password", "userapikey", "usersecretkey"):
            if getattr(self, name) == "":
                raise InvalidParameter(f"parameter {name} may not be empty")
        if self.apikeyaccess is not None:
            views.access_of(self.apikeyaccess)

    def prepare(self, services: Services) -> None:
        """Hash the new password, and compare the current one: both take long on purpose."""
        self.new_hash = passwords.hashed(self.password) if self.password is not None else None
        self.current_hash: str | None = None
        if self.currentpassword is None or self.password is None:
            return
        with services.database.read() as db:
            found = db.execute(sa.select(user.c.password_hash).where(user.c.uuid == str(self.id).lower()))
            stored = found.scalar_one_or_none()
        if passwords.matches(stored, self.currentpassword):
            self.current_hash = stored

    def run(self, call: Call) -> dict[str, Any]:
        row: Row[Any] = self.id
        if row.id == store.SYSTEM_USER:
            raise PermissionDenied("nobody changes the system's user")
        admin = call.caller.admin or call.caller.role in (DOMAIN_ADMIN, RESOURCE_ADMIN)
        if not admin and row.id != call.caller.user_id:
            raise PermissionDenied("parameter id: users without an admin's role change only themselves")
        if row.source != "native" and (self.new_hash is not None or self.username not in (None, row.username)):
            name = "password" if self.new_hash is not None else "username"
            raise InvalidParameter(f"parameter {name}: user {row.username} has it of the directory ({row.source})")
        values = self._values(call, row)
        if self.mandate2fa is not None:
            values["two_factor_mandated"] = self._mandate(call, row, admin=admin)
        if self.new_hash is not None:
            if not self._may_set_password(call, row, admin=admin):
                return views.users(call.db, [row], admin=False)[0]
            values["password_hash"] = self.new_hash
            sessions.end(call.db, row.id)
            password_reset.drop(call.db, row.id)
        if values and not change(call.db, user, row.id, expect={"removed": None}, **values):
            raise ConcurrentChange("the user was deleted meanwhile")
        changed(call, row, "updating")
        return views.users(call.db, [one(call.db, user, row.id)], admin=call.caller.admin)[0]

    def _mandate(self, call: Call, row: Row[Any], *, admin: bool) -> bool:
        if not admin:
            raise PermissionDenied("parameter mandate2fa is for admins")
        if self.mandate2fa and not second_factor.enabled(call.services, row):
            raise InvalidParameter("parameter mandate2fa: the setting enable.user.2fa allows none in this domain")
        return bool(self.mandate2fa)

    def _may_set_password(self, call: Call, row: Row[Any], *, admin: bool) -> bool:
        """Check the new password, and of who is no admin the current one; a wrong one is counted, and so returned."""
        if not admin:
            if self.currentpassword is None:
                raise MissingParameter("parameter currentpassword is needed to set a new password")
            whom = throttle.current_password(row.id)
            self.guessed_wrong = self.current_hash is None or self.current_hash != row.password_hash
            throttle.settle(call.db, whom, right=not self.guessed_wrong)
            if self.guessed_wrong:
                call.describe(
                    f"the current password was wrong, nothing was changed: user {row.username}",
                    owner=row,
                    resource=("User", row.uuid),
                )
                return False
            throttle.forget(call.db, whom)
        passwords.check_policy(call.services, row.domain_id, self.username or row.username, self.password or "")
        return True

    def finishup(self, services: Services, result: Any) -> Any:
        """Refuse a wrong current password: after the commit, as the count of it must be kept."""
        if self.guessed_wrong:
            raise InvalidParameter("parameter currentpassword is not the user's current password")
        return result

    def _values(self, call: Call, row: Row[Any]) -> dict[str, Any]:
        values: dict[str, Any] = {
            name: value
            for name in ("username", "firstname", "lastname", "email", "timezone")
            if (value := getattr(self, name)) is not None
        }
        if self.username is not None and self.username.lower() != row.username.lower():
            _free_name(call, row.domain_id, self.username)
        if self.userapikey is not None:
            taken = sa.select(user.c.id).where(user.c.api_key == self.userapikey, user.c.id != row.id)
            if call.db.execute(taken).first() is not None:
                raise InvalidParameter("parameter userapikey is the key of another user")
            values |= {
                "api_key": self.userapikey,
                "secret_key": call.services.secrets.encrypt(self.usersecretkey or ""),
            }
        if self.apikeyaccess is not None:
            values["api_key_access"] = views.access_of(self.apikeyaccess)
        return values


def _free_name(call: Call, domain_id: int, name: str) -> None:
    taken = sa.select(user.c.id).where(
        user.c.domain_id == domain_id, sa.func.lower(user.c.username) == name.lower(), user.c.removed.is_(None)
    )
    if call.db.execute(taken).first() is not None:
        raise InvalidParameter(f"parameter username: the domain has a user {name} already")


@command("deleteUser", event="USER.DELETE")
class DeleteUser(Command):
    """Delete a user; keys and sessions end at once."""

    id: Ref

    def run(self, call: Call) -> Success:
        row: Row[Any] = self.id
        refuse_default(row, "deleted")
        if row.id == call.caller.user_id:
            raise PermissionDenied("nobody may delete themselves")
        gone: dict[str, Any] = {"removed": now(), "state": "removed", "api_key": None, "secret_key": None}
        gone |= {"two_factor_state": second_factor.OFF, "two_factor_key": None}
        if not change(call.db, user, row.id, expect={"removed": None}, **gone):
            raise ConcurrentChange("the user was deleted meanwhile")
        sessions.end(call.db, row.id)
        changed(call, row, "deleting")
        return Success()


@command("disableUser", event="USER.DISABLE")
class DisableUser(Command):
    """Disable a user: no sign-in, no API keys; sessions end."""

    id: Ref

    def run(self, call: Call) -> Any:
        row: Row[Any] = self.id
        refuse_default(row, "disabled")
        if row.id == call.caller.user_id:
            raise PermissionDenied("nobody may disable themselves")
        changed(call, row, "disabling")
        return call.submit(
            workflows.disable_user, key=f"user:{row.id}", instance=("User", row.uuid), owner=row, user=row.id
        )


@command("enableUser", event="USER.ENABLE")
class EnableUser(Command):
    """Let a user sign in again who was disabled or locked."""

    id: Ref

    def run(self, call: Call) -> dict[str, Any]:
        return _set_state(call, self.id, "enabled", "enabling")


@command("lockUser", event="USER.LOCK")
class LockUser(Command):
    """Lock a user out until enableUser; sessions end."""

    id: Ref

    def run(self, call: Call) -> dict[str, Any]:
        refuse_default(self.id, "locked")
        if self.id.id == call.caller.user_id:
            raise PermissionDenied("nobody may lock themselves out")
        if self.id.state == "disabled":
            raise InvalidParameter(f"parameter id: user {self.id.username} is disabled, which is more than locked")
        return _set_state(call, self.id, "locked", "locking")


def _set_state(call: Call, row: Row[Any], state: str, text: str) -> dict[str, Any]:
    if row.id == store.SYSTEM_USER:
        raise PermissionDenied("nobody changes the system's user")
    if not change(call.db, user, row.id, expect={"removed": None}, state=state):
        raise ConcurrentChange("the user was deleted meanwhile")
    if state != "enabled":
        sessions.end(call.db, row.id)
    changed(call, row, text)
    return views.users(call.db, [one(call.db, user, row.id)], admin=call.caller.admin)[0]


@command("moveUser", event="USER.MOVE")
class MoveUser(Command):
    """Move a user to another account of the same domain; the keys stay."""

    id: Ref
    account: str | None = None
    accountid: Ref | None = None

    def run(self, call: Call) -> Success:
        row: Row[Any] = self.id
        refuse_default(row, "moved")
        if (self.account is None) == (self.accountid is None):
            raise MissingParameter("parameter account or accountid is needed, one of them")
        to = self.accountid
        if to is None:
            to = store.owner(call, self.account, one(call.db, domain, row.domain_id))
        if to.domain_id != row.domain_id:
            raise InvalidParameter("parameter accountid names an account of another domain; users stay in their domain")
        if to.id == row.account_id:
            raise InvalidParameter(f"parameter accountid: user {row.username} is in account {to.name} already")
        if to.id == store.SYSTEM_ACCOUNT or to.role_type == store.PROJECT:
            raise InvalidParameter(f"parameter accountid: account {to.name} has no users of people")
        if not change(call.db, user, row.id, expect={"removed": None, "account_id": row.account_id}, account_id=to.id):
            raise ConcurrentChange("the user changed meanwhile")
        sessions.end(call.db, row.id)  # what was open was the other account's
        changed(call, row, "moving")
        return Success()


@command("getUser")
class GetUser(Command):
    """Return the user who has an API key."""

    userapikey: str

    def run(self, call: Call) -> dict[str, Any]:
        found = sa.select(user).join(account, account.c.id == user.c.account_id)
        found = found.where(user.c.api_key == self.userapikey, user.c.removed.is_(None))
        row = call.db.execute(found).one_or_none()
        if row is None:
            raise InvalidParameter("parameter userapikey is nobody's key")
        return views.users(call.db, [row], admin=call.caller.admin)[0]
