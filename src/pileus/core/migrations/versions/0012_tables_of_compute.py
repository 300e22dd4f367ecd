"""Tables of compute."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "service_offering",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("display_text", sa.String(length=4096), nullable=False),
        sa.Column("cpus", sa.Integer(), nullable=True),
        sa.Column("cpu_mhz", sa.Integer(), nullable=True),
        sa.Column("memory_mib", sa.Integer(), nullable=True),
        sa.Column("customized", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("limits", sa.JSON(), nullable=False),
        sa.Column("storage_type", sa.String(length=16), nullable=False),
        sa.Column("provisioning", sa.String(length=16), server_default="thin", nullable=False),
        sa.Column("root_disk_size", sa.BigInteger(), nullable=True),
        sa.Column("storage_tags", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("host_tags", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("network_rate", sa.Integer(), nullable=True),
        sa.Column("offer_ha", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("limit_cpu", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("is_volatile", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("dynamic_scaling", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("is_system", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("system_vm_type", sa.String(length=32), nullable=True),
        sa.Column("default_use", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("rates", sa.JSON(), nullable=False),
        sa.Column("cache_mode", sa.String(length=32), nullable=True),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("domain_ids", sa.JSON(), nullable=False),
        sa.Column("zone_ids", sa.JSON(), nullable=False),
        sa.Column("sort_key", sa.Integer(), server_default="0", nullable=False),
        sa.Column("state", sa.String(length=16), server_default="Active", nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("removed", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_offering")),
        sa.UniqueConstraint("uuid", name=op.f("uq_service_offering_uuid")),
    )
    op.create_table(
        "machine",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("display_name", sa.String(length=255), nullable=True),
        sa.Column("instance_name", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("domain_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("zone_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("pod_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("cluster_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("host_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("last_host_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("template_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("service_offering_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("os_type_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("cpus", sa.Integer(), nullable=False),
        sa.Column("cpu_mhz", sa.Integer(), nullable=False),
        sa.Column("memory_mib", sa.Integer(), nullable=False),
        sa.Column("hypervisor", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("power_state", sa.String(length=16), server_default="PowerUnknown", nullable=False),
        sa.Column("power_seen", sa.Float(), nullable=True),
        sa.Column("user_data", sa.Text(), nullable=True),
        sa.Column("user_data_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("user_data_details", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("public_keys", sa.JSON(), nullable=False),
        sa.Column("key_pairs", sa.String(length=1024), nullable=True),
        sa.Column("password", sa.Text(), nullable=True),
        sa.Column("password_id", sa.String(length=36), nullable=True),
        sa.Column("vnc_password", sa.Text(), nullable=True),
        sa.Column("vnc_port", sa.Integer(), nullable=True),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("display", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("ha_enabled", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("dynamic_scaling", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("group_name", sa.String(length=255), nullable=True),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("updated", sa.Float(), nullable=True),
        sa.Column("destroyed", sa.Float(), nullable=True),
        sa.Column("removed", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_machine_account_id")),
        sa.ForeignKeyConstraint(["cluster_id"], ["cluster.id"], name=op.f("fk_machine_cluster_id")),
        sa.ForeignKeyConstraint(["domain_id"], ["domain.id"], name=op.f("fk_machine_domain_id")),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("fk_machine_host_id")),
        sa.ForeignKeyConstraint(["last_host_id"], ["host.id"], name=op.f("fk_machine_last_host_id")),
        sa.ForeignKeyConstraint(["pod_id"], ["pod.id"], name=op.f("fk_machine_pod_id")),
        sa.ForeignKeyConstraint(
            ["service_offering_id"], ["service_offering.id"], name=op.f("fk_machine_service_offering_id")
        ),
        sa.ForeignKeyConstraint(["template_id"], ["template.id"], name=op.f("fk_machine_template_id")),
        sa.ForeignKeyConstraint(["zone_id"], ["zone.id"], name=op.f("fk_machine_zone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_machine")),
        sa.UniqueConstraint("uuid", name=op.f("uq_machine_uuid")),
    )
    with op.batch_alter_table("machine", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_machine_account_id"), ["account_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_machine_domain_id"), ["domain_id"], unique=False)
        batch_op.create_index(
            "ix_machine_expunge",
            ["destroyed"],
            unique=False,
            sqlite_where=sa.text("destroyed IS NOT NULL AND removed IS NULL"),
            postgresql_where=sa.text("destroyed IS NOT NULL AND removed IS NULL"),
        )
        batch_op.create_index(batch_op.f("ix_machine_host_id"), ["host_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_machine_service_offering_id"), ["service_offering_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_machine_template_id"), ["template_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_machine_user_data_id"), ["user_data_id"], unique=False)


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("machine", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_machine_user_data_id"))
        batch_op.drop_index(batch_op.f("ix_machine_template_id"))
        batch_op.drop_index(batch_op.f("ix_machine_service_offering_id"))
        batch_op.drop_index(batch_op.f("ix_machine_host_id"))
        batch_op.drop_index(
            "ix_machine_expunge",
            sqlite_where=sa.text("destroyed IS NOT NULL AND removed IS NULL"),
            postgresql_where=sa.text("destroyed IS NOT NULL AND removed IS NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_machine_domain_id"))
        batch_op.drop_index(batch_op.f("ix_machine_account_id"))

    op.drop_table("machine")
    op.drop_table("service_offering")
