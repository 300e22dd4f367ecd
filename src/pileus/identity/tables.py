"""Tables of identity: domains, roles, accounts, users, sessions."""

from __future__ import annotations

import sqlalchemy as sa

from pileus.core.database import identity, metadata, type_id

domain = sa.Table(
    "domain",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("parent_id", type_id, sa.ForeignKey("domain.id"), index=True),
    sa.Column("path", sa.String(2048), nullable=False),  # "/" for ROOT, "/a/b/" below: a prefix means "within"
    sa.Column("level", sa.Integer, nullable=False),
    sa.Column("network_domain", sa.String(255)),
    sa.Column("state", sa.String(16), nullable=False, server_default="Active"),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("removed", sa.Float),
)
sa.Index(
    "uq_domain_live_path",
    domain.c.path,
    unique=True,
    sqlite_where=domain.c.removed.is_(None),
    postgresql_where=domain.c.removed.is_(None),
)

role = sa.Table(
    "role",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("type", sa.String(16), nullable=False),  # Admin ResourceAdmin DomainAdmin User
    sa.Column("description", sa.String(255)),
    sa.Column("is_default", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("is_public", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("state", sa.String(16), nullable=False, server_default="enabled"),
    sa.Column("removed", sa.Float),
)
sa.Index(
    "uq_role_live_name",
    role.c.name,
    unique=True,
    sqlite_where=role.c.removed.is_(None),
    postgresql_where=role.c.removed.is_(None),
)

role_permission = sa.Table(
    "role_permission",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("role_id", type_id, sa.ForeignKey("role.id"), nullable=False, index=True),
    sa.Column("rule", sa.String(255), nullable=False),  # a command's name, * for any part of it
    sa.Column("permission", sa.String(8), nullable=False),  # allow deny
    sa.Column("description", sa.Text),
    sa.Column("position", sa.Integer, nullable=False),  # the first rule that matches decides
)

account = sa.Table(
    "account",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("role_id", type_id, sa.ForeignKey("role.id"), nullable=False),
    sa.Column("role_type", sa.String(16), nullable=False),  # a copy of the role's, read at every call
    sa.Column("domain_id", type_id, sa.ForeignKey("domain.id"), nullable=False, index=True),
    sa.Column("state", sa.String(16), nullable=False, server_default="enabled"),
    sa.Column("network_domain", sa.String(255)),
    sa.Column("default_zone_id", type_id),
    sa.Column("api_key_access", sa.Boolean),  # null = as the domain's setting says
    sa.Column("is_default", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("details", sa.JSON, nullable=False, default=dict),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("needs_cleanup", sa.Boolean, nullable=False, server_default=sa.false()),  # its deletion failed
    sa.Column("removed", sa.Float),
)
sa.Index(
    "uq_account_live_name",
    account.c.domain_id,
    account.c.name,
    unique=True,
    sqlite_where=account.c.removed.is_(None),
    postgresql_where=account.c.removed.is_(None),
)

user = sa.Table(
    "user_",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("account_id", type_id, sa.ForeignKey("account.id"), nullable=False, index=True),
    sa.Column("domain_id", type_id, sa.ForeignKey("domain.id"), nullable=False),
    sa.Column("username", sa.String(255), nullable=False),
    sa.Column("password_hash", sa.String(255), nullable=False),  # argon2id
    sa.Column("firstname", sa.String(255), nullable=False),
    sa.Column("lastname", sa.String(255), nullable=False),
    sa.Column("email", sa.String(255), nullable=False),
    sa.Column("timezone", sa.String(64)),
    sa.Column("state", sa.String(16), nullable=False, server_default="enabled"),
    sa.Column("api_key", sa.String(128), unique=True),
    sa.Column("secret_key", sa.Text),  # encrypted
    sa.Column("api_key_access", sa.Boolean),  # null = as the account's
    sa.Column("two_factor_state", sa.String(8), nullable=False, server_default="off"),  # off pending on
    sa.Column("two_factor_provider", sa.String(16)),  # totp staticpin
    sa.Column("two_factor_key", sa.Text),  # encrypted
    sa.Column("two_factor_step", sa.BigInteger),  # of the last code that was taken: none up to it is taken again
    sa.Column("two_factor_mandated", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("source", sa.String(16), nullable=False, server_default="native"),  # native ldap: whose the password is
    sa.Column("ldap_linked", sa.Boolean, nullable=False, server_default=sa.false()),  # by a link, which decides on it
    sa.Column(
        "ldap_gone", sa.Boolean, nullable=False, server_default=sa.false()
    ),  # disabled by its link, by nobody else
    sa.Column("is_default", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("removed", sa.Float),
)
sa.Index(
    "uq_user_live_name",
    user.c.domain_id,
    user.c.username,
    unique=True,
    sqlite_where=user.c.removed.is_(None),
    postgresql_where=user.c.removed.is_(None),
)

session = sa.Table(
    "session",
    metadata,
    identity(),
    sa.Column("token_hash", sa.String(64), nullable=False, unique=True),  # SHA-256 of the cookie
    sa.Column("key_hash", sa.String(64), nullable=False),  # SHA-256 of the session key
    sa.Column("user_id", type_id, sa.ForeignKey("user_.id"), nullable=False, index=True),
    sa.Column("verified", sa.Boolean, nullable=False, server_default=sa.true()),  # false = a second factor is to come
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("expires", sa.Float, nullable=False),
)

password_reset = sa.Table(
    "password_reset",
    metadata,
    sa.Column("user_id", type_id, sa.ForeignKey("user_.id"), primary_key=True, autoincrement=False),
    sa.Column("token_hash", sa.String(64), nullable=False),  # SHA-256 of what was mailed
    sa.Column("expires", sa.Float, nullable=False),
)

failure = sa.Table(
    "sign_in_failure",
    metadata,
    sa.Column("key_hash", sa.String(64), primary_key=True),  # SHA-256 of who failed: a name and address, a user
    sa.Column("amount", sa.Integer, nullable=False),
    sa.Column("last", sa.Float, nullable=False, index=True),
)

ssh_key_pair = sa.Table(
    "ssh_key_pair",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("account_id", type_id, sa.ForeignKey("account.id"), nullable=False),
    sa.Column("domain_id", type_id, sa.ForeignKey("domain.id"), nullable=False),
    sa.Column("public_key", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.String(64), nullable=False),  # MD5, as bytes in hex with colons
    sa.Column("created", sa.Float, nullable=False),
    sa.UniqueConstraint("account_id", "name"),
)

user_data = sa.Table(
    "user_data",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("account_id", type_id, sa.ForeignKey("account.id"), nullable=False),
    sa.Column("domain_id", type_id, sa.ForeignKey("domain.id"), nullable=False),
    sa.Column("data", sa.Text, nullable=False),  # base64
    sa.Column("params", sa.String(4096)),  # names of the variables in it, by commas
    sa.Column("cni", sa.Boolean, nullable=False, server_default=sa.false()),  # a CNI configuration, of Kubernetes
    sa.Column("created", sa.Float, nullable=False),
    sa.UniqueConstraint("account_id", "name"),
)
