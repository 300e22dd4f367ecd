"""Servers of directories (LDAP), what of them is linked, and where a user comes from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_USER = ("source", "ldap_linked", "ldap_gone")


def upgrade() -> None:
    """Apply."""
    op.add_column("user_", sa.Column("source", sa.String(length=16), server_default="native", nullable=False))
    op.add_column("user_", sa.Column("ldap_linked", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("user_", sa.Column("ldap_gone", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_table(
        "ldap_configuration",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("hostname", sa.String(length=255), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("domain_id", _ID, nullable=True),
        sa.Column("created", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["domain_id"], ["domain.id"], name=op.f("fk_ldap_configuration_domain_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ldap_configuration")),
        sa.UniqueConstraint("uuid", name=op.f("uq_ldap_configuration_uuid")),
    )
    op.create_index(op.f("ix_ldap_configuration_domain_id"), "ldap_configuration", ["domain_id"])
    op.create_table(
        "ldap_link",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("domain_id", _ID, nullable=False),
        sa.Column("account_id", _ID, nullable=True),
        sa.Column("role_id", _ID, nullable=False),
        sa.Column("type", sa.String(length=8), nullable=False),
        sa.Column("dn", sa.String(length=1024), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["domain_id"], ["domain.id"], name=op.f("fk_ldap_link_domain_id")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_ldap_link_account_id")),
        sa.ForeignKeyConstraint(["role_id"], ["role.id"], name=op.f("fk_ldap_link_role_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ldap_link")),
        sa.UniqueConstraint("account_id", name=op.f("uq_ldap_link_account_id")),
    )
    op.create_index(op.f("ix_ldap_link_domain_id"), "ldap_link", ["domain_id"])
    op.create_index(
        "uq_ldap_link_of_domain",
        "ldap_link",
        ["domain_id"],
        unique=True,
        sqlite_where=sa.text("account_id IS NULL"),
        postgresql_where=sa.text("account_id IS NULL"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("ldap_link")
    op.drop_table("ldap_configuration")
    for name in reversed(_USER):
        op.drop_column("user_", name)
