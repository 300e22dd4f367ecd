"""People of a directory (LDAP): listing them, and making users of the cloud for them."""

from __future__ import annotations

import zoneinfo
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import entities
from pileus.core.calls import Call, Listed
from pileus.core.commands import Command, command
from pileus.core.database import insert, new_uuid, now, one
from pileus.core.domain_names import network_domain
from pileus.core.errors import InvalidParameter, MissingParameter, PermissionDenied, ResourceUnavailable
from pileus.core.listing import check_paging, page_of
from pileus.core.parameters import Ref, is_uuid
from pileus.core.services import Services
from pileus.identity import store, views
from pileus.identity.commands.users import check_user
from pileus.identity.ldap import config, links, making
from pileus.identity.ldap.directory import Directory, Entry, connect, parts
from pileus.identity.ldap.errors import Unavailable
from pileus.identity.tables import domain, user

_FILTERS = ("nofilter", "localdomain", "anydomain", "potentialimport")


def unavailable(error: Unavailable) -> ResourceUnavailable:
    """Return the refusal for who set the directory up, or asks it."""
    return ResourceUnavailable(f"the directory does not answer as it should: {error}")


def unit_of(dn: str) -> str | None:
    """Return the name of the unit (OU) that an entry is in, the nearest one."""
    return next((value for name, value in parts(dn)[1:] if name == "ou"), None)


def shown(entry: Entry, *, source: str | None = None) -> dict[str, Any]:
    """Return an entry as clients see it; ``source``: of the cloud's user of this name."""
    return {
        "username": entry.name,
        "principal": entry.dn,
        "email": entry.email or None,
        "firstname": entry.firstname or None,
        "lastname": entry.lastname or None,
        "domain": unit_of(entry.dn),
        "conflictingusersource": source,
    }


def known_names(db: Connection, names: Sequence[str], domain_id: int | None) -> dict[str, str]:
    """Return the sources of the cloud's users with these names (lower case), of a domain or of all."""
    found: dict[str, str] = {}
    for begin in range(0, len(names), 500):
        some = [name.lower() for name in names[begin : begin + 500]]
        rows = sa.select(user.c.username, user.c.source).where(
            sa.func.lower(user.c.username).in_(some), user.c.removed.is_(None)
        )
        if domain_id is not None:
            rows = rows.where(user.c.domain_id == domain_id)
        found |= {row.username.lower(): row.source for row in db.execute(rows)}
    return found


class _Asking(Command):
    """What lists of a directory have in common: who asks is checked in the transaction, the servers are asked after."""

    page: int | None = None
    pagesize: int | None = None
    keyword: str | None = None
    _domain_id: int | None = None

    def check(self) -> None:
        """Check the page."""
        check_paging(self.page, self.pagesize)

    def finishup(self, services: Services, result: Any) -> Any:
        """Ask the directory."""
        del result
        try:
            with connect(config.load(services, self._domain_id)) as directory:
                found = self._found(services, directory)
        except Unavailable as error:
            raise unavailable(error) from error
        with services.database.read() as db:
            return page_of(self._shown(db, found), self.page, self.pagesize)

    def _found(self, services: Services, directory: Directory) -> list[Entry]:
        raise NotImplementedError

    def _shown(self, db: Connection, found: list[Entry]) -> list[dict[str, Any]]:
        del db
        return [shown(each) for each in found]


@command("listLdapUsers")
class ListLdapUsers(_Asking):
    """List the people of a domain's directory, with or without those who are users of the cloud."""

    domainid: Ref | None = None
    listtype: str = "all"
    userfilter: str | None = None

    def check(self) -> None:
        """Check the page, and what is to be left out."""
        super().check()
        if self.listtype.lower() not in ("all", "new"):
            raise InvalidParameter("parameter listtype must be all or new")
        if self.userfilter is not None and self.userfilter.lower() not in _FILTERS:
            raise InvalidParameter("parameter userfilter must be NoFilter, LocalDomain, AnyDomain or PotentialImport")

    def run(self, call: Call) -> Listed:
        """Say whose directory it is: without domainid the one of the caller's domain."""
        self._domain_id = self.domainid.id if self.domainid is not None else call.caller.domain_id
        return Listed([], 0)

    def _found(self, services: Services, directory: Directory) -> list[Entry]:
        found = directory.users(self.keyword or "")
        if (self.userfilter or "").lower() != "potentialimport" or self._domain_id is None:
            return found
        with services.database.read() as db:
            linked = links.of_domain(db, self._domain_id)
        return [each for each in found if not linked or any(links.covers(directory, link, each) for link in linked)]

    def _shown(self, db: Connection, found: list[Entry]) -> list[dict[str, Any]]:
        names = [each.name for each in found]
        here = known_names(db, names, self._domain_id)
        wanted = (self.userfilter or "nofilter").lower()
        hidden: dict[str, str] = here if wanted == "localdomain" else {}
        if wanted == "anydomain" or self.listtype.lower() == "new":
            hidden = known_names(db, names, None)
        return [shown(e, source=here.get(e.name.lower())) for e in found if e.name.lower() not in hidden]


@command("searchLdap")
class SearchLdap(_Asking):
    """Search the directory that is set up for all domains by a part of the names to sign in with."""

    query: str

    def run(self, call: Call) -> Listed:
        """Nothing is asked of the database."""
        del call
        return Listed([], 0)

    def _found(self, services: Services, directory: Directory) -> list[Entry]:
        del services
        part = (self.keyword or "").lower()
        return [each for each in directory.users(self.query.strip("*")) if part in each.name.lower()]


class _Making(Command):
    """What commands that make users have in common."""

    account: str | None = None
    accounttype: int | None = None
    roleid: Ref | None = None
    domainid: Ref | None = None
    timezone: str | None = None
    accountdetails: dict[str, str] = {}
    _problem: Exception | None = None

    def check(self) -> None:
        """Check the type and the time zone."""
        making.check_type(self.accounttype)
        if self.timezone is not None and self.timezone not in zoneinfo.available_timezones():
            raise InvalidParameter(f"parameter timezone: there is no time zone {self.timezone[:64]!r}")

    def prepare(self, services: Services) -> None:
        """Ask the directory, before the transaction; what goes wrong is told when the caller's rights are checked."""
        with services.database.read() as db:
            within = entities.find(db, "Domain", str(self.domainid)) if self.domainid is not None else None
        try:
            of = config.load(services, within.id if within is not None else store.ROOT)
            with connect(of) as directory:
                self._ask(directory)
        except Unavailable as error:
            self._problem = unavailable(error)
        except InvalidParameter as error:
            self._problem = error

    def _ask(self, directory: Directory) -> None:
        raise NotImplementedError

    def _within(self, call: Call) -> Row[Any]:
        """Return the domain, checked: without parameter domainid it is ROOT."""
        if self._problem is not None:
            raise self._problem
        if self.domainid is None and call.caller.domain_id != store.ROOT:
            raise MissingParameter("parameter domainid is needed by callers of other domains than ROOT")
        return self.domainid if self.domainid is not None else one(call.db, domain, store.ROOT)

    def _account(self, call: Call, within: Row[Any], name: str, **more: Any) -> Row[Any]:
        """Return the account of this name, made when there is none."""
        found = making.find_account(call.db, within.id, name)
        if found is None:
            chosen = making.chosen_role(call, self.roleid, self.accounttype, within)
            return making.add_account(call.db, within.id, chosen, name, details=self.accountdetails, **more)
        if not store.manages_account(call.db, call.caller, found):
            raise PermissionDenied(f"{call.caller.account} may not act for account {name[:64]!r}")
        if found.id == store.SYSTEM_ACCOUNT or found.state != "enabled" or found.role_type == store.PROJECT:
            raise InvalidParameter(f"parameter account: {name} cannot get users now")
        if self.roleid is not None and self.roleid.id != found.role_id:
            raise InvalidParameter("parameter roleid: the account is there already, with another role")
        return found


@command("ldapCreateAccount", event="ACCOUNT.CREATE", manage=["domainid"])
class LdapCreateAccount(_Making):
    """Make a user for somebody of the directory, in the account that is named; the account is made when missing."""

    username: str
    networkdomain: str | None = None
    accountid: str | None = None
    userid: str | None = None
    _entry: Any = None

    def check(self) -> None:
        """Check names and ids."""
        super().check()
        check_user(self.username, self.timezone, self.userid)
        if self.networkdomain:
            self.networkdomain = network_domain("networkdomain", self.networkdomain)
        if self.accountid is not None and not is_uuid(self.accountid):
            raise InvalidParameter("parameter accountid must be the UUID that the new account shall have")
        if self.roleid is None and self.accounttype is None:
            raise MissingParameter("parameter roleid or accounttype is needed")

    def _ask(self, directory: Directory) -> None:
        self._entry = directory.user(self.username)
        if self._entry is None:
            raise InvalidParameter(f"parameter username: the directory has no user {self.username[:64]!r}")

    def run(self, call: Call) -> dict[str, Any]:
        within = self._within(call)
        name = self.account or self._entry.name
        of = self._account(call, within, name, uuid=self.accountid, network_domain=self.networkdomain)
        row = making.add_user(call.db, of, self._entry, timezone=self.timezone, uuid=self.userid)
        call.describe(f"creating user {row.username} of LDAP in account {of.name}", resource=("Account", of.uuid))
        return views.accounts(call.db, [of], admin=call.caller.admin)[0]


@command("importLdapUsers", manage=["domainid"])
class ImportLdapUsers(_Making):
    """Make users for the people of the directory, or of a group of it; who is there already stays as it is."""

    page: int | None = None
    pagesize: int | None = None
    keyword: str | None = None
    group: str | None = None

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def check(self) -> None:
        """Check the page, the type and the time zone."""
        super().check()
        check_paging(self.page, self.pagesize)

    def _ask(self, directory: Directory) -> None:
        self._entries = directory.users(self.keyword or "")
        if self.group is None:
            return
        group = directory.group(self.group)
        if group is None:
            raise InvalidParameter(f"parameter group: the directory has no group {self.group[:64]!r}")
        self._entries = [each for each in self._entries if directory.is_member(each.dn, group)]

    def run(self, call: Call) -> Listed:
        """Answer those who were made."""
        within = self._within(call)
        made: list[dict[str, Any]] = []
        for entry in self._entries:
            into = self._domain(call, within, entry)
            if making.find_user(call.db, into.id, entry.name) is not None:
                continue
            of = self._account(call, into, self.account or entry.name)
            making.add_user(call.db, of, entry, timezone=self.timezone)
            made.append(shown(entry))
        return page_of(made, self.page, self.pagesize)

    def _domain(self, call: Call, within: Row[Any], entry: Entry) -> Row[Any]:
        """Return the domain that is named, else the one below ROOT named as the group, or as the entry's unit."""
        name = self.group if self.group is not None and "=" not in self.group else unit_of(entry.dn)
        if self.domainid is not None or not name or "/" in name:
            return within
        path = f"/{name}/"
        found = sa.select(domain).where(sa.func.lower(domain.c.path) == path.lower(), domain.c.removed.is_(None))
        row = call.db.execute(found).first()
        if row is not None:
            return row
        values = {"name": name, "parent_id": store.ROOT, "path": path, "level": 1, "created": now()}
        return one(call.db, domain, insert(call.db, domain, uuid=new_uuid(), **values))
