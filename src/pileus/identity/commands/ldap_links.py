"""Linking domains and accounts with groups or units of a directory (LDAP): who is in them may sign in."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Row

from pileus.core import entities
from pileus.core.calls import ACCOUNT_TYPES, DOMAIN_ADMIN, USER, Call
from pileus.core.commands import Command, command
from pileus.core.errors import ApiError, InvalidParameter, MissingParameter, PermissionDenied
from pileus.core.parameters import Ref
from pileus.core.services import Services
from pileus.identity import store
from pileus.identity.commands.ldap_users import unavailable
from pileus.identity.ldap import config, links, making
from pileus.identity.ldap.directory import connect, parts
from pileus.identity.ldap.errors import Unavailable
from pileus.identity.ldap.links import GROUP, OU

_TYPES = {USER: 0, DOMAIN_ADMIN: 2}


class _Link(Command):
    """What both links have in common."""

    domainid: Ref
    accounttype: int | None = None
    type: str | None = None
    admin: str | None = None

    def __init__(self) -> None:
        self._entry: Any = None
        self._problem: ApiError | None = None

    def check(self) -> None:
        """Check the type of account, and what of the directory is named."""
        if self.accounttype is not None and self.accounttype not in _TYPES.values():
            raise InvalidParameter("parameter accounttype must be 0 (user) or 2 (domain admin)")
        if self._type() not in (GROUP, OU):
            raise InvalidParameter("parameter type must be GROUP or OU")
        try:
            fit = bool(parts(self._dn()))
        except ValueError as error:
            raise InvalidParameter(f"parameter ldapdomain: {error}") from None
        if not fit or len(self._dn()) > 1024:
            raise InvalidParameter("parameter ldapdomain must be the DN of a group or unit, at most 1024 characters")

    def prepare(self, services: Services) -> None:
        """Look for the admin in the directory, before the transaction."""
        if not self.admin:
            return
        with services.database.read() as db:
            within = entities.find(db, "Domain", str(self.domainid))
        if within is None:
            return
        wanted = _Wanted(self._type(), self._dn())
        try:
            with connect(config.load(services, within.id)) as directory:
                self._entry = links.place(directory, self.admin, [wanted]).entry
                if self._entry is None or not links.covers(directory, wanted, self._entry):
                    raise InvalidParameter(f"parameter admin: {self.admin[:64]!r} is not in {self._dn()}")
        except Unavailable as error:
            self._problem = unavailable(error)
        except InvalidParameter as error:  # told when the caller's rights are checked
            self._problem = error

    def _type(self) -> str:
        return (self.type or GROUP).upper()

    def _dn(self) -> str:
        """Return the DN that is linked."""
        raise NotImplementedError

    def _add_admin(self, call: Call, of: Row[Any]) -> None:
        if of.state != "enabled":
            raise InvalidParameter(f"parameter admin: account {of.name} cannot get users now")
        making.add_user(call.db, of, self._entry, linked=True)


class _Wanted:
    """A link that is not there yet, of a domain."""

    account_id = None

    def __init__(self, type_: str, dn: str) -> None:
        self.type = type_
        self.dn = dn


@command("linkDomainToLdap", manage=["domainid"])
class LinkDomainToLdap(_Link):
    """Let the members of a group or unit sign in to a domain: each gets an account at the first sign-in."""

    ldapdomain: str | None = None
    name: str | None = None

    def check(self) -> None:
        """Check what is named; parameter name is the older spelling of ldapdomain."""
        if self.ldapdomain is None and self.name is None:
            raise MissingParameter("parameter ldapdomain is needed")
        super().check()

    def _dn(self) -> str:
        return (self.ldapdomain or self.name or "").strip()

    def run(self, call: Call) -> dict[str, Any]:
        chosen = making.chosen_role(call, None, self.accounttype, self.domainid)
        if self._problem is not None:
            raise self._problem
        links.write(
            call.db, domain_id=self.domainid.id, account_id=None, role_id=chosen.id, type_=self._type(), dn=self._dn()
        )
        answer = {
            "domainid": self.domainid.uuid,
            "ldapdomain": self._dn(),
            "name": self._dn(),
            "type": self._type(),
            "accounttype": ACCOUNT_TYPES[chosen.type],
        }
        if self._entry is None:
            return answer
        if making.find_account(call.db, self.domainid.id, self._entry.name) is not None:
            raise InvalidParameter(f"parameter admin: the domain has an account {self._entry.name} already")
        role = making.chosen_role(call, None, ACCOUNT_TYPES[DOMAIN_ADMIN], self.domainid)
        of = making.add_account(call.db, self.domainid.id, role, self._entry.name)
        self._add_admin(call, of)
        return answer | {"accountid": of.uuid}


@command("linkAccountToLdap", manage=["domainid"])
class LinkAccountToLdap(_Link):
    """Let the members of a group or unit sign in to an account, which is made when missing; others of it may not."""

    ldapdomain: str
    account: str
    roleid: Ref | None = None

    def _dn(self) -> str:
        return self.ldapdomain.strip()

    def run(self, call: Call) -> dict[str, Any]:
        of = making.find_account(call.db, self.domainid.id, self.account)
        if of is None:
            chosen = making.chosen_role(call, self.roleid, self.accounttype, self.domainid)
        elif not store.manages_account(call.db, call.caller, of) or of.id == store.SYSTEM_ACCOUNT:
            raise PermissionDenied(f"{call.caller.account} may not act for account {self.account[:64]!r}")
        else:
            chosen = self._same_role(of)
        if self._problem is not None:
            raise self._problem
        if of is None:
            of = making.add_account(call.db, self.domainid.id, chosen, self.account)
        links.write(
            call.db,
            domain_id=self.domainid.id,
            account_id=of.id,
            role_id=of.role_id,
            type_=self._type(),
            dn=self._dn(),
        )
        if self._entry is not None:
            self._add_admin(call, of)
        return {
            "domainid": self.domainid.uuid,
            "ldapdomain": self._dn(),
            "type": self._type(),
            "account": of.name,
            "accountid": of.uuid,
            "accounttype": ACCOUNT_TYPES[of.role_type],
        }

    def _same_role(self, of: Row[Any]) -> Row[Any]:
        """Refuse to say anything else of an account that is there than what it is."""
        if of.role_type == store.PROJECT:
            raise InvalidParameter("parameter account: the account of a project has no users")
        if self.roleid is not None and self.roleid.id != of.role_id:
            raise InvalidParameter("parameter roleid: the account is there already, with another role")
        if self.accounttype is not None and ACCOUNT_TYPES[of.role_type] != self.accounttype:
            raise InvalidParameter("parameter accounttype: the account is there already, of another type")
        return of
