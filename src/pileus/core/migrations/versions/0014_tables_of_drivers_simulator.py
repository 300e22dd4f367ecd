"""Tables of drivers simulator."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "sim_mock",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("zone_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("pod_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("cluster_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("host_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("wait", sa.Integer(), server_default="0", nullable=False),
        sa.Column("timeout", sa.Integer(), server_default="0", nullable=False),
        sa.Column("fails", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("left", sa.Integer(), nullable=True),
        sa.Column("created", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sim_mock")),
    )
    op.create_table(
        "sim_object",
        sa.Column("key", sa.String(length=512), nullable=False),
        sa.Column("sort", sa.String(length=16), nullable=False),
        sa.Column("host", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_sim_object")),
    )
    with op.batch_alter_table("sim_object", schema=None) as batch_op:
        batch_op.create_index("ix_sim_object_host_sort", ["host", "sort"], unique=False)

    op.create_table(
        "sim_operation",
        sa.Column("id", sa.String(length=512), nullable=False),
        sa.Column("host", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sim_operation")),
    )
    with op.batch_alter_table("sim_operation", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sim_operation_at"), ["at"], unique=False)


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("sim_operation", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_sim_operation_at"))

    op.drop_table("sim_operation")
    with op.batch_alter_table("sim_object", schema=None) as batch_op:
        batch_op.drop_index("ix_sim_object_host_sort")

    op.drop_table("sim_object")
    op.drop_table("sim_mock")
