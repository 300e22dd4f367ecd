"""Permissions of accounts for templates and networks of others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0028"
branch_labels = None
depends_on = None

_KINDS = ("template", "network")


def upgrade() -> None:
    """Apply."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    for kind in _KINDS:
        table = f"{kind}_permission"
        op.create_table(
            table,
            sa.Column(f"{kind}_id", number, nullable=False),
            sa.Column("account_id", number, nullable=False),
            sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f(f"fk_{table}_account_id_account")),
            sa.ForeignKeyConstraint([f"{kind}_id"], [f"{kind}.id"], name=op.f(f"fk_{table}_{kind}_id_{kind}")),
            sa.PrimaryKeyConstraint(f"{kind}_id", "account_id", name=op.f(f"pk_{table}")),
        )
        op.create_index(op.f(f"ix_{table}_account_id"), table, ["account_id"])


def downgrade() -> None:
    """Take back."""
    for kind in reversed(_KINDS):
        op.drop_index(op.f(f"ix_{kind}_permission_account_id"), table_name=f"{kind}_permission")
        op.drop_table(f"{kind}_permission")
