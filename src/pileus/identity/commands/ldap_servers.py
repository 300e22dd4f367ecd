"""The servers of directories (LDAP) that users sign in with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core import entities
from pileus.core.api.configuration import Scope, write
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.database import insert, new_uuid, now, one
from pileus.core.errors import InvalidParameter, MissingParameter
from pileus.core.listing import ListCommand, Listed, Query, in_subtree, page_of, related
from pileus.core.parameters import Ref
from pileus.core.services import Services
from pileus.core.settings import Setting, checked
from pileus.identity.ldap import config, directory
from pileus.identity.ldap.errors import Unavailable
from pileus.identity.ldap.tables import ldap_configuration
from pileus.identity.tables import domain

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}")


def check_place(hostname: str | None, port: int | None) -> None:
    """Check the name and the port of a server."""
    if hostname is not None and not _HOST.fullmatch(hostname):
        raise InvalidParameter("parameter hostname must be the name or the address of the server, and nothing else")
    if port is not None and not 1 <= port <= 65_535:
        raise InvalidParameter("parameter port must be between 1 and 65535")


def _shown(row: Row[Any], within: Row[Any] | None) -> dict[str, Any]:
    return {
        "id": row.uuid,
        "hostname": row.hostname,
        "port": row.port,
        "domainid": within.uuid if within is not None else None,
    }


def _same(domain_id: int | None, hostname: str, port: int | None) -> sa.Select[Any]:
    of = ldap_configuration.c
    found = sa.select(ldap_configuration).where(sa.func.lower(of.hostname) == hostname.lower())
    found = found.where(of.domain_id.is_(None) if domain_id is None else of.domain_id == domain_id)
    return found.where(of.port == port) if port is not None else found


def add(call: Call, domain_id: int | None, hostname: str, port: int) -> Row[Any]:
    """Write a server."""
    if call.db.execute(_same(domain_id, hostname, port)).first() is not None:
        raise InvalidParameter(f"parameter hostname: the server {hostname}:{port} is there already")
    made = insert(
        call.db,
        ldap_configuration,
        uuid=new_uuid(),
        hostname=hostname,
        port=port,
        domain_id=domain_id,
        created=now(),
    )
    return one(call.db, ldap_configuration, made)


@command("addLdapConfiguration", manage=["domainid"])
class AddLdapConfiguration(Command):
    """Add a server of LDAP, for a domain or for all that have none of their own; it must take connections."""

    hostname: str
    port: int
    domainid: Ref | None = None
    problem = ""

    def check(self) -> None:
        """Check the server's name and port."""
        check_place(self.hostname, self.port)

    def prepare(self, services: Services) -> None:
        """Connect to it once."""
        with services.database.read() as db:
            within = entities.find(db, "Domain", str(self.domainid)) if self.domainid is not None else None
        tried = config.of(services, within.id if within is not None else None, [(self.hostname, self.port)])
        try:
            directory.probe(tried)
        except Unavailable as error:
            self.problem = str(error)

    def run(self, call: Call) -> dict[str, Any]:
        if self.problem:
            raise InvalidParameter(f"parameter hostname: {self.hostname}:{self.port} does not answer: {self.problem}")
        row = add(call, self.domainid.id if self.domainid is not None else None, self.hostname, self.port)
        return _shown(row, self.domainid)


@command("deleteLdapConfiguration", manage=["domainid", "id"])
class DeleteLdapConfiguration(Command):
    """Remove a server of LDAP, by its id or its name."""

    id: Ref | None = None
    hostname: str | None = None
    port: int | None = None
    domainid: Ref | None = None

    def run(self, call: Call) -> dict[str, Any]:
        if self.id is None and self.hostname is None:
            raise MissingParameter("parameter id or hostname is needed")
        row = self.id
        if row is None:
            domain_id = self.domainid.id if self.domainid is not None else None
            found = call.db.execute(_same(domain_id, self.hostname or "", self.port)).all()
            if len(found) != 1:
                many = "several servers; parameter port says which" if found else "no server of this domain"
                raise InvalidParameter(f"parameter hostname names {many}")
            row = found[0]
        call.db.execute(sa.delete(ldap_configuration).where(ldap_configuration.c.id == row.id))
        return _shown(row, one(call.db, domain, row.domain_id) if row.domain_id is not None else None)


@command("listLdapConfigurations")
class ListLdapConfigurations(ListCommand):
    """List the servers of LDAP."""

    id: Ref | None = None
    hostname: str | None = None
    port: int | None = None
    domainid: Ref | None = None
    listall: bool = False

    def query(self, call: Call) -> Query:
        """Without domainid and listall: for root admins those for all domains, for others those of their domain."""
        of = ldap_configuration.c
        query = Query(ldap_configuration).same(of.hostname, self.hostname).equals(of.port, self.port)
        query.contains(self.keyword, of.hostname)
        if self.id is not None:
            return query.where(of.id == self.id.id)
        if self.domainid is not None:
            return query.where(of.domain_id == self.domainid.id)
        caller = call.caller
        if caller.admin:
            return query if self.listall else query.where(of.domain_id.is_(None))
        if self.listall and caller.domain_admin:
            return query.where(in_subtree(call.db, of.domain_id, caller.domain_path))
        return query.where(of.domain_id == caller.domain_id)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        domains = related(call.db, domain, (row.domain_id for row in rows))
        return [_shown(row, domains.get(row.domain_id)) for row in rows]


@command("ldapConfig")
class LdapConfig(Command):
    """Set up a server of LDAP for all domains in one call, or with listall show what is set up."""

    hostname: str | None = None
    port: int | None = None
    ssl: bool | None = None
    searchbase: str | None = None
    binddn: str | None = None
    bindpass: str | None = None
    truststore: str | None = None
    truststorepass: str | None = None
    listall: bool = False
    problem = ""

    def check(self) -> None:
        """Check the server, and that TLS has something to trust in."""
        check_place(self.hostname, self.port)
        if not self.listall and (self.hostname is None or self.searchbase is None):
            raise MissingParameter("parameters hostname and searchbase are needed, or listall")
        if self.ssl is False and self.truststore:
            raise InvalidParameter("parameter truststore is for TLS, which parameter ssl switches off")

    def prepare(self, services: Services) -> None:
        """Connect to the server once, as it would be set up."""
        if self.listall:
            return
        tried = config.of(services, None, [(self.hostname or "", self._port(services))])
        store = "" if self.ssl is False else (self.truststore or tried.truststore)
        if self.ssl and not store:
            raise InvalidParameter("parameter ssl needs parameter truststore: the certificates to trust in")
        secret = self.truststorepass if self.truststorepass is not None else tried.truststore_password
        try:
            directory.probe(msgspec.structs.replace(tried, truststore=store, truststore_password=secret))
        except Unavailable as error:
            self.problem = str(error)

    def run(self, call: Call) -> Listed:
        if not self.listall:
            self._write(call)
        found = sa.select(ldap_configuration).where(ldap_configuration.c.domain_id.is_(None))
        rows = call.db.execute(found.order_by(ldap_configuration.c.id)).all()
        return page_of([self._view(call, row) for row in rows], None, -1)

    def _port(self, services: Services) -> int:
        secure = self.ssl or (self.ssl is None and bool(self.truststore or services.settings.get(config.TRUSTSTORE)))
        return self.port or (636 if secure else 389)

    def _write(self, call: Call) -> None:
        port, hostname = self._port(call.services), self.hostname or ""
        if self.problem:
            raise InvalidParameter(f"parameter hostname: {hostname}:{port} does not answer: {self.problem}")
        if call.db.execute(_same(None, hostname, port)).first() is None:
            add(call, None, hostname, port)
        values: list[tuple[Setting[str], str, str | None]] = [
            (config.BASE_DN, "searchbase", self.searchbase),
            (config.PRINCIPAL, "binddn", self.binddn),
            (config.PASSWORD, "bindpass", self.bindpass),
            (config.TRUSTSTORE, "truststore", "" if self.ssl is False else self.truststore),
            (config.TRUSTSTORE_PASSWORD, "truststorepass", self.truststorepass),
        ]
        for handle, parameter, value in values:
            if value is None:
                continue
            try:
                text = checked(handle, value)
            except ValueError as error:
                raise InvalidParameter(f"parameter {parameter} {error}") from None
            self._values[handle.name] = text
            write(call, handle, Scope(), call.services.secrets.encrypt(text) if handle.secure and text else text)

    def _view(self, call: Call, row: Row[Any]) -> dict[str, Any]:
        of = config.of(call.services, None, [])
        written = self._values.get
        return {
            "hostname": row.hostname,
            "port": str(row.port),
            "ssl": "true" if written(config.TRUSTSTORE.name, of.truststore) else "false",
            "searchbase": written(config.BASE_DN.name, of.basedn),
            "binddn": written(config.PRINCIPAL.name, of.principal),
            "queryfilter": directory.filter_of(of, f"({of.username}=*)"),
        }

    def __init__(self) -> None:
        self._values: dict[str, str] = {}  # what this call writes: the settings show it after the commit


@command("ldapRemove")
class LdapRemove(Command):
    """Remove the servers of LDAP that are for all domains, and the password to ask them with."""

    def run(self, call: Call) -> dict[str, Any]:
        call.db.execute(sa.delete(ldap_configuration).where(ldap_configuration.c.domain_id.is_(None)))
        for handle in (config.PASSWORD, config.TRUSTSTORE_PASSWORD):
            write(call, handle, Scope(), None)
        return {}
