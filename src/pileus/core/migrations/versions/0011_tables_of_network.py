"""Tables of network."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "network_offering",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("display_text", sa.String(length=4096), nullable=False),
        sa.Column("traffic_type", sa.String(length=16), nullable=False),
        sa.Column("guest_type", sa.String(length=16), nullable=False),
        sa.Column("availability", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("specify_vlan", sa.Boolean(), nullable=False),
        sa.Column("specify_ip_ranges", sa.Boolean(), nullable=False),
        sa.Column("conserve_mode", sa.Boolean(), nullable=False),
        sa.Column("persistent", sa.Boolean(), nullable=False),
        sa.Column("egress_default", sa.Boolean(), nullable=False),
        sa.Column("for_vpc", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("max_connections", sa.Integer(), nullable=True),
        sa.Column("network_rate", sa.Integer(), nullable=True),
        sa.Column("tags", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("services", sa.JSON(), nullable=False),
        sa.Column("capabilities", sa.JSON(), nullable=False),
        sa.Column("service_offering_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("domain_ids", sa.JSON(), nullable=False),
        sa.Column("zone_ids", sa.JSON(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("sort_key", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("removed", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_network_offering")),
        sa.UniqueConstraint("uuid", name=op.f("uq_network_offering_uuid")),
    )
    with op.batch_alter_table("network_offering", schema=None) as batch_op:
        batch_op.create_index(
            "uq_network_offering_live_name",
            ["name"],
            unique=True,
            sqlite_where=sa.text("removed IS NULL"),
            postgresql_where=sa.text("removed IS NULL"),
        )

    op.create_table(
        "ip_range",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("zone_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("physical_network_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("pod_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("vlan", sa.String(length=32), nullable=False),
        sa.Column("gateway", sa.String(length=64), nullable=False),
        sa.Column("netmask", sa.String(length=64), nullable=False),
        sa.Column("start_ip", sa.String(length=64), nullable=False),
        sa.Column("end_ip", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("domain_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("for_virtual_network", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("removed", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_ip_range_account_id")),
        sa.ForeignKeyConstraint(["domain_id"], ["domain.id"], name=op.f("fk_ip_range_domain_id")),
        sa.ForeignKeyConstraint(
            ["physical_network_id"], ["physical_network.id"], name=op.f("fk_ip_range_physical_network_id")
        ),
        sa.ForeignKeyConstraint(["pod_id"], ["pod.id"], name=op.f("fk_ip_range_pod_id")),
        sa.ForeignKeyConstraint(["zone_id"], ["zone.id"], name=op.f("fk_ip_range_zone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ip_range")),
        sa.UniqueConstraint("uuid", name=op.f("uq_ip_range_uuid")),
    )
    with op.batch_alter_table("ip_range", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_ip_range_zone_id"), ["zone_id"], unique=False)

    op.create_table(
        "network",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("display_text", sa.String(length=4096), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("domain_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("zone_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("physical_network_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("offering_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("guest_type", sa.String(length=16), nullable=False),
        sa.Column("acl_type", sa.String(length=16), server_default="Account", nullable=False),
        sa.Column("cidr", sa.String(length=64), nullable=False),
        sa.Column("gateway", sa.String(length=64), nullable=False),
        sa.Column("netmask", sa.String(length=64), nullable=False),
        sa.Column("network_domain", sa.String(length=255), server_default="", nullable=False),
        sa.Column("dns1", sa.String(length=64), nullable=True),
        sa.Column("dns2", sa.String(length=64), nullable=True),
        sa.Column("isolation", sa.String(length=16), nullable=False),
        sa.Column("tag", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("restart_required", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("display", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("private_mtu", sa.Integer(), nullable=True),
        sa.Column("public_mtu", sa.Integer(), nullable=True),
        sa.Column("next_mac", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), server_default="0", nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("removed", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_network_account_id")),
        sa.ForeignKeyConstraint(["domain_id"], ["domain.id"], name=op.f("fk_network_domain_id")),
        sa.ForeignKeyConstraint(["offering_id"], ["network_offering.id"], name=op.f("fk_network_offering_id")),
        sa.ForeignKeyConstraint(
            ["physical_network_id"], ["physical_network.id"], name=op.f("fk_network_physical_network_id")
        ),
        sa.ForeignKeyConstraint(["zone_id"], ["zone.id"], name=op.f("fk_network_zone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_network")),
        sa.UniqueConstraint("uuid", name=op.f("uq_network_uuid")),
    )
    with op.batch_alter_table("network", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_network_account_id"), ["account_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_network_zone_id"), ["zone_id"], unique=False)

    op.create_table(
        "nic",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("network_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("machine_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("router_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("mac", sa.String(length=17), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=True),
        sa.Column("device_id", sa.Integer(), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("removed", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["network_id"], ["network.id"], name=op.f("fk_nic_network_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_nic")),
        sa.UniqueConstraint("uuid", name=op.f("uq_nic_uuid")),
    )
    with op.batch_alter_table("nic", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_nic_machine_id"), ["machine_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_nic_router_id"), ["router_id"], unique=False)
        batch_op.create_index(
            "uq_nic_live_address",
            ["network_id", "address"],
            unique=True,
            sqlite_where=sa.text("removed IS NULL"),
            postgresql_where=sa.text("removed IS NULL"),
        )
        batch_op.create_index(
            "uq_nic_live_mac",
            ["mac"],
            unique=True,
            sqlite_where=sa.text("removed IS NULL"),
            postgresql_where=sa.text("removed IS NULL"),
        )

    op.create_table(
        "public_address",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("range_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("zone_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), server_default="Free", nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("domain_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("network_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("is_source_nat", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("is_static_nat", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("machine_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("nic_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("allocated", sa.Float(), nullable=True),
        sa.Column("display", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_public_address_account_id")),
        sa.ForeignKeyConstraint(["domain_id"], ["domain.id"], name=op.f("fk_public_address_domain_id")),
        sa.ForeignKeyConstraint(["network_id"], ["network.id"], name=op.f("fk_public_address_network_id")),
        sa.ForeignKeyConstraint(["range_id"], ["ip_range.id"], name=op.f("fk_public_address_range_id")),
        sa.ForeignKeyConstraint(["zone_id"], ["zone.id"], name=op.f("fk_public_address_zone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_public_address")),
        sa.UniqueConstraint("uuid", name=op.f("uq_public_address_uuid")),
        sa.UniqueConstraint("zone_id", "address", name=op.f("uq_public_address_zone_id_address")),
    )
    with op.batch_alter_table("public_address", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_public_address_account_id"), ["account_id"], unique=False)
        batch_op.create_index(
            "ix_public_address_free",
            ["zone_id", "id"],
            unique=False,
            sqlite_where=sa.text("state = 'Free'"),
            postgresql_where=sa.text("state = 'Free'"),
        )
        batch_op.create_index(batch_op.f("ix_public_address_machine_id"), ["machine_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_public_address_network_id"), ["network_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_public_address_range_id"), ["range_id"], unique=False)

    op.create_table(
        "router",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("domain_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("zone_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("pod_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("host_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("network_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("service_offering_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("public_mac", sa.String(length=17), server_default="", nullable=False),
        sa.Column("guest_mac", sa.String(length=17), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("redundant_state", sa.String(length=16), server_default="UNKNOWN", nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("removed", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_router_account_id")),
        sa.ForeignKeyConstraint(["domain_id"], ["domain.id"], name=op.f("fk_router_domain_id")),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("fk_router_host_id")),
        sa.ForeignKeyConstraint(["network_id"], ["network.id"], name=op.f("fk_router_network_id")),
        sa.ForeignKeyConstraint(["pod_id"], ["pod.id"], name=op.f("fk_router_pod_id")),
        sa.ForeignKeyConstraint(["zone_id"], ["zone.id"], name=op.f("fk_router_zone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_router")),
        sa.UniqueConstraint("uuid", name=op.f("uq_router_uuid")),
    )
    with op.batch_alter_table("router", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_router_account_id"), ["account_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_router_host_id"), ["host_id"], unique=False)
        batch_op.create_index(
            "uq_router_live_network",
            ["network_id"],
            unique=True,
            sqlite_where=sa.text("removed IS NULL"),
            postgresql_where=sa.text("removed IS NULL"),
        )

    op.create_table(
        "rule",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("network_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("address_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("domain_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("protocol", sa.String(length=16), nullable=False),
        sa.Column("start_port", sa.Integer(), nullable=True),
        sa.Column("end_port", sa.Integer(), nullable=True),
        sa.Column("private_start", sa.Integer(), nullable=True),
        sa.Column("private_end", sa.Integer(), nullable=True),
        sa.Column("icmp_type", sa.Integer(), nullable=True),
        sa.Column("icmp_code", sa.Integer(), nullable=True),
        sa.Column("sources", sa.JSON(), nullable=False),
        sa.Column("destinations", sa.JSON(), nullable=False),
        sa.Column("machine_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("nic_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("wish", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("related_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("display", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_rule_account_id")),
        sa.ForeignKeyConstraint(["address_id"], ["public_address.id"], name=op.f("fk_rule_address_id")),
        sa.ForeignKeyConstraint(["domain_id"], ["domain.id"], name=op.f("fk_rule_domain_id")),
        sa.ForeignKeyConstraint(["network_id"], ["network.id"], name=op.f("fk_rule_network_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rule")),
        sa.UniqueConstraint("uuid", name=op.f("uq_rule_uuid")),
    )
    with op.batch_alter_table("rule", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_rule_account_id"), ["account_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_rule_address_id"), ["address_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_rule_machine_id"), ["machine_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_rule_network_id"), ["network_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_rule_related_id"), ["related_id"], unique=False)

    op.create_table(
        "segment_member",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("network_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("host_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("unsettled", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("fk_segment_member_host_id")),
        sa.ForeignKeyConstraint(["network_id"], ["network.id"], name=op.f("fk_segment_member_network_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segment_member")),
        sa.UniqueConstraint("network_id", "host_id", name=op.f("uq_segment_member_network_id_host_id")),
    )
    with op.batch_alter_table("segment_member", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_segment_member_host_id"), ["host_id"], unique=False)


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("segment_member", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_segment_member_host_id"))

    op.drop_table("segment_member")
    with op.batch_alter_table("rule", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_rule_related_id"))
        batch_op.drop_index(batch_op.f("ix_rule_network_id"))
        batch_op.drop_index(batch_op.f("ix_rule_machine_id"))
        batch_op.drop_index(batch_op.f("ix_rule_address_id"))
        batch_op.drop_index(batch_op.f("ix_rule_account_id"))

    op.drop_table("rule")
    with op.batch_alter_table("router", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_router_live_network",
            sqlite_where=sa.text("removed IS NULL"),
            postgresql_where=sa.text("removed IS NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_router_host_id"))
        batch_op.drop_index(batch_op.f("ix_router_account_id"))

    op.drop_table("router")
    with op.batch_alter_table("public_address", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_public_address_range_id"))
        batch_op.drop_index(batch_op.f("ix_public_address_network_id"))
        batch_op.drop_index(batch_op.f("ix_public_address_machine_id"))
        batch_op.drop_index(
            "ix_public_address_free", sqlite_where=sa.text("state = 'Free'"), postgresql_where=sa.text("state = 'Free'")
        )
        batch_op.drop_index(batch_op.f("ix_public_address_account_id"))

    op.drop_table("public_address")
    with op.batch_alter_table("nic", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_nic_live_mac", sqlite_where=sa.text("removed IS NULL"), postgresql_where=sa.text("removed IS NULL")
        )
        batch_op.drop_index(
            "uq_nic_live_address", sqlite_where=sa.text("removed IS NULL"), postgresql_where=sa.text("removed IS NULL")
        )
        batch_op.drop_index(batch_op.f("ix_nic_router_id"))
        batch_op.drop_index(batch_op.f("ix_nic_machine_id"))

    op.drop_table("nic")
    with op.batch_alter_table("network", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_network_zone_id"))
        batch_op.drop_index(batch_op.f("ix_network_account_id"))

    op.drop_table("network")
    with op.batch_alter_table("ip_range", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_ip_range_zone_id"))

    op.drop_table("ip_range")
    with op.batch_alter_table("network_offering", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_network_offering_live_name",
            sqlite_where=sa.text("removed IS NULL"),
            postgresql_where=sa.text("removed IS NULL"),
        )

    op.drop_table("network_offering")
