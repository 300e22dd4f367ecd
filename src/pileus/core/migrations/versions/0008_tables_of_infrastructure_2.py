"""Tables of infrastructure 2."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "service_provider",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("physical_network_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(
            ["physical_network_id"], ["physical_network.id"], name=op.f("fk_service_provider_physical_network_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_provider")),
        sa.UniqueConstraint("physical_network_id", "name", name=op.f("uq_service_provider_physical_network_id_name")),
        sa.UniqueConstraint("uuid", name=op.f("uq_service_provider_uuid")),
    )
    op.create_table(
        "traffic_type",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("physical_network_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("kvm_label", sa.String(length=255), nullable=True),
        sa.Column("xen_label", sa.String(length=255), nullable=True),
        sa.Column("vmware_label", sa.String(length=255), nullable=True),
        sa.Column("vlan", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(
            ["physical_network_id"], ["physical_network.id"], name=op.f("fk_traffic_type_physical_network_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_traffic_type")),
        sa.UniqueConstraint("physical_network_id", "type", name=op.f("uq_traffic_type_physical_network_id_type")),
        sa.UniqueConstraint("uuid", name=op.f("uq_traffic_type_uuid")),
    )
    op.create_table(
        "host",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("zone_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("pod_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("cluster_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("hypervisor", sa.String(length=32), nullable=False),
        sa.Column("hypervisor_version", sa.String(length=64), nullable=True),
        sa.Column("url", sa.String(length=255), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("port", sa.Integer(), server_default="0", nullable=False),
        sa.Column("tunnel_address", sa.String(length=64), server_default="", nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("resource_state", sa.String(length=32), nullable=False),
        sa.Column("cpus", sa.Integer(), nullable=False),
        sa.Column("cpu_mhz", sa.Integer(), nullable=False),
        sa.Column("memory_mib", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "used_cpu_mhz", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), server_default="0", nullable=False
        ),
        sa.Column(
            "used_memory_mib", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), server_default="0", nullable=False
        ),
        sa.Column("accelerator", sa.String(length=16), server_default="", nullable=False),
        sa.Column("tags", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("boot", sa.String(length=64), server_default="", nullable=False),
        sa.Column("load", sa.Float(), nullable=True),
        sa.Column("really_used_memory_mib", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("last_report", sa.Float(), nullable=True),
        sa.Column("disconnected", sa.Float(), nullable=True),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("removed", sa.Float(), nullable=True),
        sa.CheckConstraint("used_cpu_mhz >= 0", name=op.f("ck_host_cpu_not_negative")),
        sa.CheckConstraint("used_memory_mib >= 0", name=op.f("ck_host_memory_not_negative")),
        sa.ForeignKeyConstraint(["cluster_id"], ["cluster.id"], name=op.f("fk_host_cluster_id")),
        sa.ForeignKeyConstraint(["pod_id"], ["pod.id"], name=op.f("fk_host_pod_id")),
        sa.ForeignKeyConstraint(["zone_id"], ["zone.id"], name=op.f("fk_host_zone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_host")),
        sa.UniqueConstraint("uuid", name=op.f("uq_host_uuid")),
    )
    with op.batch_alter_table("host", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_host_cluster_id"), ["cluster_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_host_url"), ["url"], unique=False)
        batch_op.create_index(batch_op.f("ix_host_zone_id"), ["zone_id"], unique=False)

    op.create_table(
        "router_element",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("provider_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.ForeignKeyConstraint(["provider_id"], ["service_provider.id"], name=op.f("fk_router_element_provider_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_router_element")),
        sa.UniqueConstraint("provider_id", name=op.f("uq_router_element_provider_id")),
        sa.UniqueConstraint("uuid", name=op.f("uq_router_element_uuid")),
    )
    op.create_table(
        "dedication",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("zone_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("pod_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("cluster_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("host_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("domain_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("created", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_dedication_account_id")),
        sa.ForeignKeyConstraint(["cluster_id"], ["cluster.id"], name=op.f("fk_dedication_cluster_id")),
        sa.ForeignKeyConstraint(["domain_id"], ["domain.id"], name=op.f("fk_dedication_domain_id")),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("fk_dedication_host_id")),
        sa.ForeignKeyConstraint(["pod_id"], ["pod.id"], name=op.f("fk_dedication_pod_id")),
        sa.ForeignKeyConstraint(["zone_id"], ["zone.id"], name=op.f("fk_dedication_zone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dedication")),
        sa.UniqueConstraint("cluster_id", name=op.f("uq_dedication_cluster_id")),
        sa.UniqueConstraint("host_id", name=op.f("uq_dedication_host_id")),
        sa.UniqueConstraint("pod_id", name=op.f("uq_dedication_pod_id")),
        sa.UniqueConstraint("uuid", name=op.f("uq_dedication_uuid")),
        sa.UniqueConstraint("zone_id", name=op.f("uq_dedication_zone_id")),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("dedication")
    op.drop_table("router_element")
    with op.batch_alter_table("host", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_host_zone_id"))
        batch_op.drop_index(batch_op.f("ix_host_url"))
        batch_op.drop_index(batch_op.f("ix_host_cluster_id"))

    op.drop_table("host")
    op.drop_table("traffic_type")
    op.drop_table("service_provider")
