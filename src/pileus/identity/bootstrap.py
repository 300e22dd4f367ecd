"""The first start of a cloud: ROOT, the default roles, the system's account and the first admin."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.core.calls import ADMIN, DOMAIN_ADMIN, RESOURCE_ADMIN, USER
from pileus.core.database import insert, new_uuid, now
from pileus.core.secrets import Secrets, random_key, random_password
from pileus.identity import passwords, store
from pileus.identity.tables import account, domain, role, user

ROLES = (
    ("Root Admin", ADMIN, "Default root admin role"),
    ("Resource Admin", RESOURCE_ADMIN, "Default resource admin role"),
    ("Domain Admin", DOMAIN_ADMIN, "Default domain admin role"),
    ("User", USER, "Default user role"),
    ("Read-Only Admin - Default", ADMIN, "Default read-only admin role"),
    ("Read-Only User - Default", USER, "Default read-only user role"),
    ("Support Admin - Default", ADMIN, "Default support admin role"),
    ("Support User - Default", USER, "Default support user role"),
)


class Credentials(msgspec.Struct, frozen=True):
    """How the first admin signs in; returned once, stored only as hash and cipher."""

    username: str
    password: str
    apikey: str
    secretkey: str


def is_new(db: Connection) -> bool:
    """Tell whether this database has never been started with."""
    return db.execute(sa.select(sa.func.count()).select_from(domain)).scalar_one() == 0


def first_start(db: Connection, secrets: Secrets, password: str | None = None) -> Credentials:
    """Write the rows that every cloud begins with, and return the first admin's credentials."""
    made = Credentials("admin", password or random_password(16), random_key(), random_key())
    hashed = passwords.hashed(made.password)
    moment = now()
    root = insert(db, domain, uuid=new_uuid(), name="ROOT", path="/", level=0, created=moment)
    roles = {
        name: insert(db, role, uuid=new_uuid(), name=name, type=type_, description=text, is_default=True)
        for name, type_, text in ROLES
    }
    accounts = [
        insert(
            db,
            account,
            uuid=new_uuid(),
            name=name,
            role_id=roles["Root Admin"],
            role_type=ADMIN,
            domain_id=root,
            is_default=True,
            created=moment,
        )
        for name in ("system", "admin")
    ]
    common: dict[str, Any] = {"domain_id": root, "is_default": True, "created": moment, "email": ""}
    users = [
        insert(
            db,
            user,
            uuid=new_uuid(),
            account_id=accounts[0],
            username="system",
            password_hash="!",  # noqa: S106 (no password has this hash: nobody signs in as the system)
            firstname="system",
            lastname="cloud",
            **common,
        ),
        insert(
            db,
            user,
            uuid=new_uuid(),
            account_id=accounts[1],
            username=made.username,
            password_hash=hashed,
            firstname="admin",
            lastname="cloud",
            api_key=made.apikey,
            secret_key=secrets.encrypt(made.secretkey),
            **common,
        ),
    ]
    if (root, *accounts, *users) != (
        store.ROOT,
        store.SYSTEM_ACCOUNT,
        store.ADMIN_ACCOUNT,
        store.SYSTEM_USER,
        store.ADMIN_USER,
    ):
        raise RuntimeError("the first start needs an empty database: its sequences have been used before")
    return made
