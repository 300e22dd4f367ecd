"""Tables of sign-in by a directory: its servers, and what of it is linked to domains and accounts."""

from __future__ import annotations

import sqlalchemy as sa

from pileus.core.database import identity, metadata, type_id

ldap_configuration = sa.Table(
    "ldap_configuration",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("hostname", sa.String(255), nullable=False),
    sa.Column("port", sa.Integer, nullable=False),
    sa.Column("domain_id", type_id, sa.ForeignKey("domain.id"), index=True),  # null = for domains without own servers
    sa.Column("created", sa.Float, nullable=False),
)

ldap_link = sa.Table(
    "ldap_link",
    metadata,
    identity(),
    sa.Column("domain_id", type_id, sa.ForeignKey("domain.id"), nullable=False, index=True),
    sa.Column("account_id", type_id, sa.ForeignKey("account.id"), unique=True),  # null = the domain itself is linked
    sa.Column("role_id", type_id, sa.ForeignKey("role.id"), nullable=False),  # of the accounts that sign-ins make
    sa.Column("type", sa.String(8), nullable=False),  # GROUP OU
    sa.Column("dn", sa.String(1024), nullable=False),
    sa.Column("created", sa.Float, nullable=False),
)
sa.Index(
    "uq_ldap_link_of_domain",
    ldap_link.c.domain_id,
    unique=True,
    sqlite_where=ldap_link.c.account_id.is_(None),
    postgresql_where=ldap_link.c.account_id.is_(None),
)
