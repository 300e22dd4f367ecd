"""Tables of storage."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "disk_offering",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("display_text", sa.String(length=4096), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("customized", sa.Boolean(), nullable=False),
        sa.Column("customized_iops", sa.Boolean(), nullable=True),
        sa.Column("min_iops", sa.BigInteger(), nullable=True),
        sa.Column("max_iops", sa.BigInteger(), nullable=True),
        sa.Column("storage_type", sa.String(length=16), nullable=False),
        sa.Column("provisioning", sa.String(length=16), server_default="thin", nullable=False),
        sa.Column("tags", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("cache_mode", sa.String(length=32), nullable=True),
        sa.Column("rates", sa.JSON(), nullable=False),
        sa.Column("encrypt", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("strict_size", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("display", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("domain_ids", sa.JSON(), nullable=False),
        sa.Column("zone_ids", sa.JSON(), nullable=False),
        sa.Column("sort_key", sa.Integer(), server_default="0", nullable=False),
        sa.Column("state", sa.String(length=16), server_default="Active", nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("removed", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_disk_offering")),
        sa.UniqueConstraint("uuid", name=op.f("uq_disk_offering_uuid")),
    )
    op.create_table(
        "storage_pool",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("zone_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("pod_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("cluster_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("host_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("hypervisor", sa.String(length=32), nullable=True),
        sa.Column("provider", sa.String(length=64), server_default="DefaultPrimary", nullable=False),
        sa.Column("url", sa.String(length=1024), nullable=False),
        sa.Column("server", sa.String(length=255), server_default="", nullable=False),
        sa.Column("path", sa.String(length=1024), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("capacity", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("allocated", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("overprovision", sa.Float(), server_default="2", nullable=False),
        sa.Column("capacity_iops", sa.BigInteger(), nullable=True),
        sa.Column("tags", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("removed", sa.Float(), nullable=True),
        sa.CheckConstraint("allocated >= 0", name=op.f("ck_storage_pool_allocated_not_negative")),
        sa.ForeignKeyConstraint(["cluster_id"], ["cluster.id"], name=op.f("fk_storage_pool_cluster_id")),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("fk_storage_pool_host_id")),
        sa.ForeignKeyConstraint(["pod_id"], ["pod.id"], name=op.f("fk_storage_pool_pod_id")),
        sa.ForeignKeyConstraint(["zone_id"], ["zone.id"], name=op.f("fk_storage_pool_zone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_storage_pool")),
        sa.UniqueConstraint("uuid", name=op.f("uq_storage_pool_uuid")),
    )
    with op.batch_alter_table("storage_pool", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_storage_pool_cluster_id"), ["cluster_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_storage_pool_host_id"), ["host_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_storage_pool_zone_id"), ["zone_id"], unique=False)

    op.create_table(
        "volume",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("domain_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("zone_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("pool_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("machine_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("device_id", sa.Integer(), nullable=True),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("physical_size", sa.BigInteger(), nullable=True),
        sa.Column("disk_offering_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("service_offering_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("template_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("format", sa.String(length=16), server_default="QCOW2", nullable=False),
        sa.Column("path", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("display", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("attached", sa.Float(), nullable=True),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("destroyed", sa.Float(), nullable=True),
        sa.Column("removed", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_volume_account_id")),
        sa.ForeignKeyConstraint(["disk_offering_id"], ["disk_offering.id"], name=op.f("fk_volume_disk_offering_id")),
        sa.ForeignKeyConstraint(["domain_id"], ["domain.id"], name=op.f("fk_volume_domain_id")),
        sa.ForeignKeyConstraint(["pool_id"], ["storage_pool.id"], name=op.f("fk_volume_pool_id")),
        sa.ForeignKeyConstraint(["template_id"], ["template.id"], name=op.f("fk_volume_template_id")),
        sa.ForeignKeyConstraint(["zone_id"], ["zone.id"], name=op.f("fk_volume_zone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_volume")),
        sa.UniqueConstraint("uuid", name=op.f("uq_volume_uuid")),
    )
    with op.batch_alter_table("volume", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_volume_account_id"), ["account_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_volume_machine_id"), ["machine_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_volume_pool_id"), ["pool_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_volume_template_id"), ["template_id"], unique=False)


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("volume", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_volume_template_id"))
        batch_op.drop_index(batch_op.f("ix_volume_pool_id"))
        batch_op.drop_index(batch_op.f("ix_volume_machine_id"))
        batch_op.drop_index(batch_op.f("ix_volume_account_id"))

    op.drop_table("volume")
    with op.batch_alter_table("storage_pool", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_storage_pool_zone_id"))
        batch_op.drop_index(batch_op.f("ix_storage_pool_host_id"))
        batch_op.drop_index(batch_op.f("ix_storage_pool_cluster_id"))

    op.drop_table("storage_pool")
    op.drop_table("disk_offering")
