"""Tables of infrastructure 1."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "agent",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("serial", sa.String(length=64), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("last_report", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent")),
        sa.UniqueConstraint("uuid", name=op.f("uq_agent_uuid")),
    )
    op.create_table(
        "enrolment_token",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("expires", sa.Float(), nullable=False),
        sa.Column("used", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enrolment_token")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_enrolment_token_token_hash")),
    )
    op.create_table(
        "hypervisor_limit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("hypervisor", sa.String(length=32), nullable=False),
        sa.Column("data_volumes", sa.Integer(), nullable=True),
        sa.Column("hosts_per_cluster", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hypervisor_limit")),
        sa.UniqueConstraint("hypervisor", name=op.f("uq_hypervisor_limit_hypervisor")),
        sa.UniqueConstraint("uuid", name=op.f("uq_hypervisor_limit_uuid")),
    )
    op.create_table(
        "region",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("endpoint", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_region")),
        sa.UniqueConstraint("name", name=op.f("uq_region_name")),
    )
    op.create_table(
        "zone",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("network_type", sa.String(length=16), nullable=False),
        sa.Column("dns1", sa.String(length=64), nullable=False),
        sa.Column("dns2", sa.String(length=64), nullable=True),
        sa.Column("internal_dns1", sa.String(length=64), nullable=False),
        sa.Column("internal_dns2", sa.String(length=64), nullable=True),
        sa.Column("ip6_dns1", sa.String(length=64), nullable=True),
        sa.Column("ip6_dns2", sa.String(length=64), nullable=True),
        sa.Column("guest_cidr", sa.String(length=64), nullable=True),
        sa.Column("network_domain", sa.String(length=255), nullable=True),
        sa.Column("domain_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("allocation_state", sa.String(length=16), nullable=False),
        sa.Column("local_storage", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("security_groups", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("edge", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("sort_key", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("removed", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["domain_id"], ["domain.id"], name=op.f("fk_zone_domain_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_zone")),
        sa.UniqueConstraint("uuid", name=op.f("uq_zone_uuid")),
    )
    with op.batch_alter_table("zone", schema=None) as batch_op:
        batch_op.create_index(
            "uq_zone_live_name",
            ["name"],
            unique=True,
            sqlite_where=sa.text("removed IS NULL"),
            postgresql_where=sa.text("removed IS NULL"),
        )

    op.create_table(
        "physical_network",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("zone_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("isolation", sa.String(length=16), nullable=False),
        sa.Column("tag_ranges", sa.String(length=2048), server_default="", nullable=False),
        sa.Column("tags", sa.String(length=255), nullable=True),
        sa.Column("speed", sa.String(length=16), nullable=True),
        sa.Column("broadcast_range", sa.String(length=16), server_default="ZONE", nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("removed", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["zone_id"], ["zone.id"], name=op.f("fk_physical_network_zone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_physical_network")),
        sa.UniqueConstraint("uuid", name=op.f("uq_physical_network_uuid")),
    )
    with op.batch_alter_table("physical_network", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_physical_network_zone_id"), ["zone_id"], unique=False)

    op.create_table(
        "pod",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("zone_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("gateway", sa.String(length=64), nullable=True),
        sa.Column("netmask", sa.String(length=64), nullable=True),
        sa.Column("start_ip", sa.String(length=64), nullable=True),
        sa.Column("end_ip", sa.String(length=64), nullable=True),
        sa.Column("allocation_state", sa.String(length=16), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("removed", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["zone_id"], ["zone.id"], name=op.f("fk_pod_zone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pod")),
        sa.UniqueConstraint("uuid", name=op.f("uq_pod_uuid")),
    )
    with op.batch_alter_table("pod", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_pod_zone_id"), ["zone_id"], unique=False)

    op.create_table(
        "cluster",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("zone_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("pod_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("hypervisor", sa.String(length=32), nullable=False),
        sa.Column("cluster_type", sa.String(length=32), server_default="CloudManaged", nullable=False),
        sa.Column("allocation_state", sa.String(length=16), nullable=False),
        sa.Column("managed_state", sa.String(length=32), server_default="Managed", nullable=False),
        sa.Column("cpu_overcommit", sa.Float(), server_default="1", nullable=False),
        sa.Column("memory_overcommit", sa.Float(), server_default="1", nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("removed", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["pod_id"], ["pod.id"], name=op.f("fk_cluster_pod_id")),
        sa.ForeignKeyConstraint(["zone_id"], ["zone.id"], name=op.f("fk_cluster_zone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cluster")),
        sa.UniqueConstraint("uuid", name=op.f("uq_cluster_uuid")),
    )
    with op.batch_alter_table("cluster", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_cluster_pod_id"), ["pod_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_cluster_zone_id"), ["zone_id"], unique=False)

    op.create_table(
        "segment_tag",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("physical_network_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("tag", sa.Integer(), nullable=False),
        sa.Column("network_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["physical_network_id"], ["physical_network.id"], name=op.f("fk_segment_tag_physical_network_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segment_tag")),
        sa.UniqueConstraint("network_id", name=op.f("uq_segment_tag_network_id")),
        sa.UniqueConstraint("physical_network_id", "tag", name=op.f("uq_segment_tag_physical_network_id_tag")),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("segment_tag")
    with op.batch_alter_table("cluster", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_cluster_zone_id"))
        batch_op.drop_index(batch_op.f("ix_cluster_pod_id"))

    op.drop_table("cluster")
    with op.batch_alter_table("pod", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_pod_zone_id"))

    op.drop_table("pod")
    with op.batch_alter_table("physical_network", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_physical_network_zone_id"))

    op.drop_table("physical_network")
    with op.batch_alter_table("zone", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_zone_live_name", sqlite_where=sa.text("removed IS NULL"), postgresql_where=sa.text("removed IS NULL")
        )

    op.drop_table("zone")
    op.drop_table("region")
    op.drop_table("hypervisor_limit")
    op.drop_table("enrolment_token")
    op.drop_table("agent")
