"""Counts of rows by blocks of ids, and the triggers that keep both counts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.core import counters

revision = "0023"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "row_block",
        sa.Column("table_name", sa.String(length=64), nullable=False),
        sa.Column("block", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("table_name", "block", "slot", name=op.f("pk_row_block")),
    )
    for table in ("machine", "volume"):
        counters.install(op.get_bind(), table)


def downgrade() -> None:
    """Take back."""
    op.drop_table("row_block")
