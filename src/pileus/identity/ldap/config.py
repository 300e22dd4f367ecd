"""What is set up of a directory, for one domain: its settings before the global ones, its servers instead of these."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.core.services import Services
from pileus.core.settings import Setting, declare
from pileus.identity.ldap.tables import ldap_configuration

_SCOPES = ("global", "domain")
OPENLDAP, ACTIVE_DIRECTORY = "openldap", "microsoftad"
_NO_FILE = "must be the absolute path of a file with certificates (PEM or PKCS #12) on every management server"


def _is_attribute(text: str) -> None:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,63}", text):
        raise ValueError("must be the name of an attribute or class: letters, digits and hyphens")


def _is_file(text: str) -> None:
    if text and not Path(text).is_absolute():
        raise ValueError(_NO_FILE)


def _text(name: str, default: str, text: str, *, attribute: bool = False, secure: bool = False) -> Setting[str]:
    return declare(
        f"ldap.{name}",
        str,
        default,
        text,
        scopes=_SCOPES,
        check=_is_attribute if attribute else None,
        secure=secure,
        root_only=True,  # they say what is read with the password of the cloud's own entry
    )


BASE_DN = _text("basedn", "", "Entry below which users and groups are looked for")
PRINCIPAL = _text("bind.principal", "", "Entry (DN) that the cloud signs in with to look for users; empty: with none")
PASSWORD = _text("bind.password", "", "Password of that entry", secure=True)
USER_OBJECT = _text("user.object", "inetOrgPerson", "Object class of users", attribute=True)
USERNAME = _text("username.attribute", "uid", "Attribute of users with the name to sign in with", attribute=True)
EMAIL = _text("email.attribute", "mail", "Attribute of users with the address of mail", attribute=True)
FIRSTNAME = _text("firstname.attribute", "givenname", "Attribute of users with the first name", attribute=True)
LASTNAME = _text("lastname.attribute", "sn", "Attribute of users with the last name", attribute=True)
MEMBER_OF = _text("user.memberof.attribute", "memberof", "Attribute of users with their groups", attribute=True)
GROUP_OBJECT = _text("group.object", "groupOfUniqueNames", "Object class of groups", attribute=True)
MEMBER = _text("group.user.uniquemember", "uniquemember", "Attribute of groups with their members", attribute=True)
SEARCH_GROUP = _text("search.group.principle", "", "Group (DN); if set, only its members are users of the cloud")
TRUSTSTORE_PASSWORD = _text("truststore.password", "", "Password of ldap.truststore, if it is PKCS #12", secure=True)
TRUSTSTORE = declare(
    "ldap.truststore",
    str,
    "",
    "File with the certificates (PEM or PKCS #12) that servers must be vouched for by; if set, TLS is spoken (ldaps)",
    scopes=_SCOPES,
    check=_is_file,
    root_only=True,
)
PROVIDER = declare(
    "ldap.provider",
    str,
    OPENLDAP,
    "Kind of directory",
    scopes=_SCOPES,
    options=(OPENLDAP, ACTIVE_DIRECTORY),
    root_only=True,
)
NESTED = declare(
    "ldap.nested.groups.enable",
    bool,
    True,
    "Whether members of groups within a group are its members too; with provider microsoftad only",
    scopes=_SCOPES,
    root_only=True,
)
READ_TIMEOUT = declare(
    "ldap.read.timeout",
    int,
    1000,
    "Milliseconds to wait for an answer of a server, before the next one is asked",
    scopes=_SCOPES,
    minimum=1,
    maximum=60_000,
    root_only=True,
)
PAGE_SIZE = declare(
    "ldap.request.page.size",
    int,
    1000,
    "Users that are asked of a server at once",
    scopes=_SCOPES,
    minimum=1,
    maximum=10_000,
    root_only=True,
)


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A directory as it is set up for a domain."""

    servers: tuple[tuple[str, int], ...]
    basedn: str
    principal: str
    password: str
    user_object: str
    username: str
    email: str
    firstname: str
    lastname: str
    memberof: str
    group_object: str
    member: str
    search_group: str
    nested: bool  # members of groups within a group count, by Active Directory's own rule
    seconds: float
    page_size: int
    truststore: str
    truststore_password: str

    def __repr__(self) -> str:
        """Return it without its passwords."""
        return f"Config(servers={self.servers!r}, basedn={self.basedn!r})"


def servers(db: Connection, domain_id: int | None) -> list[tuple[str, int]]:
    """Return the servers of a domain, in the order in which they were added; without own ones those for all."""
    table = ldap_configuration
    found = sa.select(table.c.hostname, table.c.port).order_by(table.c.id)
    rows = db.execute(found.where(table.c.domain_id == domain_id)).all()
    if domain_id is None or not rows:
        rows = db.execute(found.where(table.c.domain_id.is_(None))).all()
    return [(row.hostname, row.port) for row in rows]


def load(services: Services, domain_id: int | None) -> Config:
    """Return what is set up for a domain (None: for all that have nothing of their own)."""
    with services.database.read() as db:
        found = servers(db, domain_id)
    return of(services, domain_id, found)


def of(services: Services, domain_id: int | None, found: list[tuple[str, int]]) -> Config:
    """Return the settings of a domain with these servers."""
    scope = [("domain", domain_id)] if domain_id is not None else []

    def read(handle: Setting[str]) -> str:
        return services.settings.get(handle, *scope)

    return Config(
        servers=tuple(found),
        basedn=read(BASE_DN),
        principal=read(PRINCIPAL),
        password=services.settings.secret(PASSWORD, services.secrets, *scope),
        user_object=read(USER_OBJECT),
        username=read(USERNAME),
        email=read(EMAIL),
        firstname=read(FIRSTNAME),
        lastname=read(LASTNAME),
        memberof=read(MEMBER_OF),
        group_object=read(GROUP_OBJECT),
        member=read(MEMBER),
        search_group=read(SEARCH_GROUP),
        nested=services.settings.get(NESTED, *scope) and read(PROVIDER) == ACTIVE_DIRECTORY,
        seconds=services.settings.get(READ_TIMEOUT, *scope) / 1000,
        page_size=services.settings.get(PAGE_SIZE, *scope),
        truststore=read(TRUSTSTORE),
        truststore_password=services.settings.secret(TRUSTSTORE_PASSWORD, services.secrets, *scope),
    )
