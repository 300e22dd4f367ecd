"""Hosts that can limit CPU use; those that are there tell it with their next report."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("host", sa.Column("limits_cpu", sa.Boolean(), server_default=sa.false(), nullable=False))
    host = sa.table("host", sa.column("hypervisor", sa.String), sa.column("limits_cpu", sa.Boolean))
    op.execute(sa.update(host).where(host.c.hypervisor == "Simulator").values(limits_cpu=True))


def downgrade() -> None:
    """Take back."""
    op.drop_column("host", "limits_cpu")
