"""Tables of identity limits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "resource_count",
        sa.Column(
            "account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("type", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_resource_count_amount_not_negative")),
        sa.PrimaryKeyConstraint("account_id", "type", name=op.f("pk_resource_count")),
    )
    op.create_table(
        "resource_limit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("domain_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("type", sa.SmallInteger(), nullable=False),
        sa.Column("most", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_resource_limit_account_id")),
        sa.ForeignKeyConstraint(["domain_id"], ["domain.id"], name=op.f("fk_resource_limit_domain_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_resource_limit")),
        sa.UniqueConstraint("account_id", "type", name=op.f("uq_resource_limit_account_id_type")),
        sa.UniqueConstraint("domain_id", "type", name=op.f("uq_resource_limit_domain_id_type")),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("resource_limit")
    op.drop_table("resource_count")
