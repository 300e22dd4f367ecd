"""Limits by host and storage tag; accounts half deleted; offerings whose machines leave no record."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_OWNERS = ("account_id", "domain_id")


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("resource_limit", schema=None) as batch_op:
        batch_op.add_column(sa.Column("tag", sa.String(length=255), server_default="", nullable=False))
        for owner in _OWNERS:
            batch_op.drop_constraint(f"uq_resource_limit_{owner}_type", type_="unique")
            batch_op.create_unique_constraint(f"uq_resource_limit_{owner}_type_tag", [owner, "type", "tag"])
    op.add_column("account", sa.Column("needs_cleanup", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("service_offering", sa.Column("purge", sa.Boolean(), server_default=sa.false(), nullable=False))


def downgrade() -> None:
    """Take back; limits by tag are lost."""
    op.drop_column("service_offering", "purge")
    op.drop_column("account", "needs_cleanup")
    op.execute("DELETE FROM resource_limit WHERE tag <> ''")
    with op.batch_alter_table("resource_limit", schema=None) as batch_op:
        for owner in _OWNERS:
            batch_op.drop_constraint(f"uq_resource_limit_{owner}_type_tag", type_="unique")
            batch_op.create_unique_constraint(f"uq_resource_limit_{owner}_type", [owner, "type"])
        batch_op.drop_column("tag")
