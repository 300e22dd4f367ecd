"""Limits, IOPS, planners and leases of offerings; disk offerings of root disks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def _columns() -> dict[str, tuple[sa.Column[object], ...]]:
    return {
        "disk_offering": (sa.Column("snapshot_reserve", sa.Integer(), nullable=True),),
        "volume": (
            sa.Column("min_iops", sa.BigInteger(), nullable=True),
            sa.Column("max_iops", sa.BigInteger(), nullable=True),
        ),
        "service_offering": (
            sa.Column("customized_iops", sa.Boolean(), server_default=sa.false(), nullable=False),
            sa.Column("min_iops", sa.BigInteger(), nullable=True),
            sa.Column("max_iops", sa.BigInteger(), nullable=True),
            sa.Column("snapshot_reserve", sa.Integer(), nullable=True),
            sa.Column("strict_disk_offering", sa.Boolean(), server_default=sa.false(), nullable=False),
            sa.Column("planner", sa.String(length=64), nullable=True),
            sa.Column("lease_days", sa.Integer(), nullable=True),
            sa.Column("lease_action", sa.String(length=16), nullable=True),
        ),
        "machine": (
            sa.Column("lease_until", sa.Float(), nullable=True),
            sa.Column("lease_action", sa.String(length=16), nullable=True),
            sa.Column("lease_state", sa.String(length=16), nullable=True),
        ),
    }


def upgrade() -> None:
    """Apply."""
    for table, columns in _columns().items():
        for column in columns:
            op.add_column(table, column)
    # With their constraints, which SQLite takes in no other way for a table that is there.
    number = "INTEGER" if op.get_bind().dialect.name == "sqlite" else "BIGINT"
    op.execute(
        f"ALTER TABLE service_offering ADD COLUMN disk_offering_id {number} "
        "CONSTRAINT fk_service_offering_disk_offering_id REFERENCES disk_offering (id)"
    )
    op.execute(
        "ALTER TABLE storage_pool ADD COLUMN allocated_iops BIGINT DEFAULT '0' NOT NULL "
        "CONSTRAINT ck_storage_pool_allocated_iops_not_negative CHECK (allocated_iops >= 0)"
    )
    pending = sa.text("lease_state = 'PENDING'")
    op.create_index("ix_machine_lease", "machine", ["lease_until"], sqlite_where=pending, postgresql_where=pending)


def downgrade() -> None:
    """Take back."""
    op.drop_index("ix_machine_lease", "machine")
    op.drop_column("storage_pool", "allocated_iops")
    with op.batch_alter_table("service_offering", schema=None) as batch_op:
        batch_op.drop_constraint("fk_service_offering_disk_offering_id", type_="foreignkey")
        batch_op.drop_column("disk_offering_id")
    for table, columns in _columns().items():
        for column in columns:
            op.drop_column(table, column.name)
