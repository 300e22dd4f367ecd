"""Changing, disabling, locking and enabling accounts."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core.calls import ADMIN, Call
from pileus.core.commands import Command, command
from pileus.core.database import after_commit, change, one
from pileus.core.domain_names import network_domain
from pileus.core.errors import ConcurrentChange, InvalidParameter, MissingParameter, PermissionDenied
from pileus.core.parameters import Ref
from pileus.identity import callers, roles, sessions, store, views, workflows
from pileus.identity.settings import may_tag_offerings
from pileus.identity.tables import account


def named(call: Call, id_: Row[Any] | None, name: str | None, within: Row[Any] | None) -> Row[Any]:
    """Return the account that is named by id, or by account and domainid; never the cloud's own or a project's."""
    if id_ is None and name is None:
        raise MissingParameter("parameter id, or account with domainid, is needed")
    row = id_ if id_ is not None else store.owner(call, name, within)
    if row.id == store.SYSTEM_ACCOUNT:
        raise PermissionDenied("the system's account stays as it is")
    if row.role_type == store.PROJECT:
        raise InvalidParameter("this is the account of a project; see suspendProject and activateProject")
    return row


def refuse_own(call: Call, row: Row[Any], what: str) -> None:
    """Refuse what would lock the caller, or everybody, out."""
    if row.is_default:
        raise PermissionDenied(f"account {row.name} belongs to the cloud itself and cannot be {what}")
    if row.id == call.caller.account_id:
        raise PermissionDenied(f"nobody's own account can be {what} by themselves")


def set_state(call: Call, row: Row[Any], state: str, text: str) -> None:
    """Change an account's state; unless it is enabled, the sessions of its users end."""
    if row.state == "removed" or not change(call.db, account, row.id, expect={"removed": None}, state=state):
        raise ConcurrentChange(f"account {row.name} was deleted meanwhile")
    if state != "enabled":
        sessions.end_of_account(call.db, row.id)
    after_commit(call.db, lambda: callers.forget(call.services))
    call.describe(f"{text} account {row.name}", resource=("Account", row.uuid))


def _shown(call: Call, id_: int) -> dict[str, Any]:
    return views.accounts(call.db, [one(call.db, account, id_)], admin=call.caller.admin)[0]


@command("updateAccount", event="ACCOUNT.UPDATE")
class UpdateAccount(Command):
    """Change an account's name, role, network domain and details."""

    id: Ref | None = None
    account: str | None = None
    domainid: Ref | None = None
    newname: str | None = None
    networkdomain: str | None = None
    accountdetails: dict[str, str] = {}
    roleid: Ref | None = None
    apikeyaccess: str | None = None

    def check(self) -> None:
        """Check the new name and the access."""
        if self.newname is not None and (not self.newname or self.newname.strip() != self.newname):
            raise InvalidParameter("parameter newname may not be empty, nor begin or end with a blank")
        if self.networkdomain:
            self.networkdomain = network_domain("networkdomain", self.networkdomain)
        if self.apikeyaccess is not None:
            views.access_of(self.apikeyaccess)

    def run(self, call: Call) -> dict[str, Any]:
        row = named(call, self.id, self.account, self.domainid)
        values: dict[str, Any] = {}
        if self.newname is not None and self.newname != row.name:
            self._free_name(call, row, self.newname)
            values["name"] = self.newname
        if self.networkdomain is not None:
            values["network_domain"] = self.networkdomain or None
        if self.accountdetails:
            values["details"] = {**(row.details or {}), **self.accountdetails}
        if self.roleid is not None:
            values |= self._role(call, row, self.roleid)
        if self.apikeyaccess is not None:
            values["api_key_access"] = views.access_of(self.apikeyaccess)
        if values and not change(call.db, account, row.id, expect={"removed": None}, **values):
            raise ConcurrentChange(f"account {row.name} was deleted meanwhile")
        after_commit(call.db, lambda: callers.forget(call.services))
        call.describe(f"updating account {row.name}", resource=("Account", row.uuid))
        return _shown(call, row.id)

    def _free_name(self, call: Call, row: Row[Any], name: str) -> None:
        if row.is_default:
            raise PermissionDenied(f"account {row.name} belongs to the cloud itself and keeps its name")
        taken = sa.select(account.c.id).where(
            account.c.domain_id == row.domain_id,
            sa.func.lower(account.c.name) == name.lower(),
            account.c.removed.is_(None),
            account.c.id != row.id,
        )
        if call.db.execute(taken).first() is not None:
            raise InvalidParameter(f"parameter newname: the domain has an account {name} already")

    def _role(self, call: Call, row: Row[Any], chosen: Row[Any]) -> dict[str, Any]:
        if row.is_default:
            raise PermissionDenied(f"account {row.name} belongs to the cloud itself and keeps its role")
        if store.RANKS[chosen.type] > store.RANKS[call.caller.role]:
            raise PermissionDenied("nobody may give an account a role above the own one")
        roles.refuse_escalation(call.db, call.caller, chosen.id)
        if chosen.type == ADMIN and row.domain_id != store.ROOT:
            raise InvalidParameter("parameter roleid: root admins live in the ROOT domain only")
        return {"role_id": chosen.id, "role_type": chosen.type}


@command("disableAccount", event="ACCOUNT.DISABLE")
class DisableAccount(Command):
    """Lock an account (lock=true), or disable it, which also stops its machines."""

    lock: bool
    id: Ref | None = None
    account: str | None = None
    domainid: Ref | None = None

    def run(self, call: Call) -> Any:
        row = named(call, self.id, self.account, self.domainid)
        refuse_own(call, row, "disabled")
        state = "locked" if self.lock else "disabled"
        if self.lock and row.state == "disabled":
            raise InvalidParameter(f"parameter lock: account {row.name} is disabled, which is more than locked")
        set_state(call, row, state, "disabling" if not self.lock else "locking")
        return call.submit(
            workflows.disable_account,
            key=f"account:{row.id}",
            instance=("Account", row.uuid),
            account=row.id,
            stop=not self.lock,
        )


@command("enableAccount", event="ACCOUNT.ENABLE")
class EnableAccount(Command):
    """Enable an account that was disabled or locked; its machines stay as they are."""

    id: Ref | None = None
    account: str | None = None
    domainid: Ref | None = None

    def run(self, call: Call) -> dict[str, Any]:
        row = named(call, self.id, self.account, self.domainid)
        set_state(call, row, "enabled", "enabling")
        return _shown(call, row.id)


@command("lockAccount", event="ACCOUNT.DISABLE", manage=["domainid"])
class LockAccount(Command):
    """Lock an account: nobody signs in, its machines go on."""

    account: str
    domainid: Ref

    def run(self, call: Call) -> dict[str, Any]:
        row = named(call, None, self.account, self.domainid)
        refuse_own(call, row, "locked")
        if row.state == "disabled":
            raise InvalidParameter(f"account {row.name} is disabled, which is more than locked")
        set_state(call, row, "locked", "locking")
        return _shown(call, row.id)


@command("markDefaultZoneForAccount", event="ACCOUNT.MARK.DEFAULT.ZONE", manage=["domainid"])
class MarkDefaultZoneForAccount(Command):
    """Say which zone is an account's default one."""

    account: str
    domainid: Ref
    zoneid: Ref

    def run(self, call: Call) -> Any:
        row = named(call, None, self.account, self.domainid)
        call.describe(f"marking zone {self.zoneid.name} as the default of account {row.name}")
        return call.submit(
            workflows.mark_default_zone,
            key=f"account:{row.id}",
            instance=("Account", row.uuid),
            account=row.id,
            zone=self.zoneid.id,
        )


@command("isAccountAllowedToCreateOfferingsWithTags", reads=True)
class IsAccountAllowedToCreateOfferingsWithTags(Command):
    """Tell whether an account may create offerings with tags."""

    id: Ref

    def run(self, call: Call) -> dict[str, Any]:
        of = self.id
        return {"isallowed": may_tag_offerings(call.services.settings, of.role_type, of.domain_id, of.id)}
