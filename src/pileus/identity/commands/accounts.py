"""Accounts: owners of things, each with one or more users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core.calls import ACCOUNT_TYPES, ADMIN, Call
from pileus.core.commands import Command, command
from pileus.core.database import after_commit, insert, new_uuid, now, one
from pileus.core.domain_names import network_domain
from pileus.core.errors import InUse, InvalidParameter, MissingParameter, PermissionDenied
from pileus.core.listing import ListCommand, Query, in_subtree
from pileus.core.parameters import Ref, is_uuid
from pileus.core.settings import declare
from pileus.identity import callers, cleanup, passwords, roles, store, views, workflows
from pileus.identity.commands.users import NewUser, add_user, check_user
from pileus.identity.projects import changes
from pileus.identity.tables import account, domain, role

_TYPES = {number: name for name, number in ACCOUNT_TYPES.items()}
DOMAIN_ACCOUNTS = declare(
    "allow.user.view.all.domain.accounts",
    bool,
    False,
    "users see the other accounts of their domain, with listall or domainid",
    scopes=("global", "domain"),
)


@command("createAccount", event="ACCOUNT.CREATE", manage=["domainid"])
class CreateAccount(Command):
    """Create an account with its first user."""

    username: str
    password: str
    firstname: str
    lastname: str
    email: str
    account: str | None = None
    accounttype: int | None = None
    roleid: Ref | None = None
    domainid: Ref | None = None
    timezone: str | None = None
    networkdomain: str | None = None
    accountdetails: dict[str, str] = {}
    accountid: str | None = None
    userid: str | None = None

    def check(self) -> None:
        """Check names, ids and the account's type."""
        check_user(self.username, self.timezone, self.userid)
        if self.networkdomain:
            self.networkdomain = network_domain("networkdomain", self.networkdomain)
        if self.accountid is not None and not is_uuid(self.accountid):
            raise InvalidParameter("parameter accountid must be the UUID that the new account shall have")
        if self.roleid is None and self.accounttype is None:
            raise MissingParameter("parameter roleid or accounttype is needed")
        if self.accounttype is not None and self.accounttype not in _TYPES:
            raise InvalidParameter("parameter accounttype must be 0 (user), 1 (root admin), 2 (domain admin) or 3")

    def prepare(self, services: Any) -> None:
        """Hash the password."""
        self.password_hash = passwords.hashed(self.password)

    def run(self, call: Call) -> dict[str, Any]:
        within = self.domainid or one(call.db, domain, call.caller.domain_id)
        chosen = self._role(call)
        if store.RANKS[chosen.type] > store.RANKS[call.caller.role]:
            raise PermissionDenied("nobody may give an account a role above the own one")
        if chosen.state != "enabled":
            raise InvalidParameter(f"parameter roleid: the role {chosen.name} is disabled")
        roles.refuse_escalation(call.db, call.caller, chosen.id)
        if chosen.type == ADMIN and within.id != store.ROOT:
            raise InvalidParameter("parameter domainid: root admins live in the ROOT domain only")
        if within.state != "Active":
            raise InvalidParameter("parameter domainid names a domain that is being deleted")
        passwords.check_policy(call.services, within.id, self.username, self.password)
        name = self.account or self.username
        taken = sa.select(account.c.id).where(
            account.c.domain_id == within.id,
            sa.func.lower(account.c.name) == name.lower(),
            account.c.removed.is_(None),
        )
        if call.db.execute(taken).first() is not None:
            raise InvalidParameter(f"parameter account: the domain has an account {name} already")
        made = insert(
            call.db,
            account,
            uuid=(self.accountid or new_uuid()).lower(),
            name=name,
            role_id=chosen.id,
            role_type=chosen.type,
            domain_id=within.id,
            network_domain=self.networkdomain or None,
            details=self.accountdetails,
            created=now(),
        )
        row = one(call.db, account, made)
        add_user(
            call,
            row,
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
        call.describe(f"creating account {name}", resource=("Account", row.uuid))
        return views.accounts(call.db, [row], admin=call.caller.admin)[0]

    def _role(self, call: Call) -> Row[Any]:
        if self.roleid is not None:
            if self.accounttype is not None and _TYPES[self.accounttype] != self.roleid.type:
                raise InvalidParameter("parameter accounttype does not fit the role that parameter roleid names")
            return self.roleid
        type_ = _TYPES[self.accounttype or 0]
        return call.db.execute(
            sa.select(role).where(role.c.type == type_, role.c.is_default).order_by(role.c.id).limit(1)
        ).one()


@command("listAccounts")
class ListAccounts(ListCommand):
    """List the accounts that the caller may see."""

    id: Ref | None = None
    name: str | None = None
    accounttype: int | None = None
    state: str | None = None
    domainid: Ref | None = None
    isrecursive: bool = False
    listall: bool = False
    details: list[str] = []
    apikeyaccess: str | None = None
    iscleanuprequired: bool | None = None
    tag: str | None = None

    def query(self, call: Call) -> Query:
        """Without listall, domainid and id: the caller's own account only."""
        query = Query(account).same(account.c.name, self.name).same(account.c.state, self.state)
        query.contains(self.keyword, account.c.name)
        if self.apikeyaccess is not None:
            query.where(account.c.api_key_access.is_(views.access_of(self.apikeyaccess)))
        query.equals(account.c.needs_cleanup, self.iscleanuprequired)
        if self.accounttype is not None:
            query.equals(account.c.role_type, _TYPES.get(self.accounttype, "none"))
        query.where(account.c.id != store.SYSTEM_ACCOUNT, account.c.role_type != store.PROJECT)
        if self.id is not None:
            return query.where(account.c.id == self.id.id)
        return query.where(*visible(call, self.domainid, recursive=self.isrecursive, listall=self.listall))

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        limits = views.with_limits(self.details)
        return views.accounts(call.db, rows, admin=call.caller.admin, limits=limits, tag=self.tag)


def visible(call: Call, within: Row[Any] | None, *, recursive: bool, listall: bool) -> list[sa.ColumnElement[bool]]:
    """Return the conditions that keep a list of accounts to what the caller may see and asked for."""
    caller = call.caller
    if caller.role not in (ADMIN, "DomainAdmin"):
        asked = listall or within is not None
        if asked and call.services.settings.get(DOMAIN_ACCOUNTS, ("domain", caller.domain_id)):
            return [account.c.domain_id == caller.domain_id]
        return [account.c.id == caller.account_id]
    if within is not None:
        if recursive or listall:
            return [in_subtree(call.db, account.c.domain_id, within.path)]
        return [account.c.domain_id == within.id]
    if not listall:
        return [account.c.id == caller.account_id]
    if caller.admin:
        return []
    return [in_subtree(call.db, account.c.domain_id, caller.domain_path)]


@command("deleteAccount", event="ACCOUNT.DELETE")
class DeleteAccount(Command):
    """Delete an account and everything that it owns."""

    id: Ref

    def run(self, call: Call) -> Any:
        if self.id.is_default:
            raise PermissionDenied(f"the account {self.id.name} belongs to the cloud itself and cannot be deleted")
        if self.id.id == call.caller.account_id:
            raise PermissionDenied("nobody may delete the own account")
        ruled = changes.ruled_by(call.db, self.id.id)
        if ruled:
            raise InUse(
                f"account {self.id.name} is the only admin of project {ruled[0]}; hand it over or delete it first"
            )
        cleanup.refuse_visited(call.db, [self.id.id], f"account {self.id.name}")
        workflows.mark_account(call.db, self.id)
        after_commit(call.db, lambda: callers.forget(call.services))
        call.describe(f"deleting account {self.id.name}", resource=("Account", self.id.uuid))
        return call.submit(
            workflows.delete_account,
            key=f"account:{self.id.id}",
            instance=("Account", self.id.uuid),
            account=self.id.id,
            before=self.id.state,
        )
