"""Tables of images."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "os_category",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("is_featured", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("sort_key", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created", sa.Float(), nullable=True),
        sa.Column("removed", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_os_category")),
        sa.UniqueConstraint("name", name=op.f("uq_os_category_name")),
        sa.UniqueConstraint("uuid", name=op.f("uq_os_category_uuid")),
    )
    op.create_table(
        "os_type",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("category_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("short_name", sa.String(length=255), nullable=True),
        sa.Column("is_user_defined", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("display", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("details", sa.JSON(), server_default="{}", nullable=False),
        sa.Column("removed", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["category_id"], ["os_category.id"], name=op.f("fk_os_type_category_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_os_type")),
        sa.UniqueConstraint("uuid", name=op.f("uq_os_type_uuid")),
    )
    op.create_table(
        "image_store",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("zone_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("provider", sa.String(length=64), nullable=False),
        sa.Column("protocol", sa.String(length=16), nullable=False),
        sa.Column("url", sa.String(length=1024), nullable=False),
        sa.Column("read_only", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("removed", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["zone_id"], ["zone.id"], name=op.f("fk_image_store_zone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image_store")),
        sa.UniqueConstraint("uuid", name=op.f("uq_image_store_uuid")),
    )
    with op.batch_alter_table("image_store", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_image_store_zone_id"), ["zone_id"], unique=False)

    op.create_table(
        "os_mapping",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("os_type_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("hypervisor", sa.String(length=32), nullable=False),
        sa.Column("hypervisor_version", sa.String(length=32), nullable=False),
        sa.Column("os_name", sa.String(length=255), nullable=False),
        sa.Column("is_user_defined", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["os_type_id"], ["os_type.id"], name=op.f("fk_os_mapping_os_type_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_os_mapping")),
        sa.UniqueConstraint(
            "os_type_id",
            "hypervisor",
            "hypervisor_version",
            name=op.f("uq_os_mapping_os_type_id_hypervisor_hypervisor_version"),
        ),
        sa.UniqueConstraint("uuid", name=op.f("uq_os_mapping_uuid")),
    )
    with op.batch_alter_table("os_mapping", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_os_mapping_os_type_id"), ["os_type_id"], unique=False)

    op.create_table(
        "template",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("display_text", sa.String(length=4096), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("domain_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=16), server_default="template", nullable=False),
        sa.Column("type", sa.String(length=16), server_default="USER", nullable=False),
        sa.Column("format", sa.String(length=16), nullable=False),
        sa.Column("hypervisor", sa.String(length=32), nullable=False),
        sa.Column("architecture", sa.String(length=16), server_default="x86_64", nullable=False),
        sa.Column("url", sa.String(length=2048), nullable=False),
        sa.Column("checksum", sa.String(length=255), nullable=True),
        sa.Column("os_type_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("is_featured", sa.Boolean(), nullable=False),
        sa.Column("is_extractable", sa.Boolean(), nullable=False),
        sa.Column("password_enabled", sa.Boolean(), nullable=False),
        sa.Column("ssh_key_enabled", sa.Boolean(), nullable=False),
        sa.Column("requires_hvm", sa.Boolean(), nullable=False),
        sa.Column("dynamically_scalable", sa.Boolean(), nullable=False),
        sa.Column("bits", sa.Integer(), server_default="64", nullable=False),
        sa.Column("tag", sa.String(length=255), nullable=True),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("user_data_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("user_data_policy", sa.String(length=16), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("size", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("removed", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_template_account_id")),
        sa.ForeignKeyConstraint(["domain_id"], ["domain.id"], name=op.f("fk_template_domain_id")),
        sa.ForeignKeyConstraint(["os_type_id"], ["os_type.id"], name=op.f("fk_template_os_type_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_template")),
        sa.UniqueConstraint("uuid", name=op.f("uq_template_uuid")),
    )
    with op.batch_alter_table("template", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_template_account_id"), ["account_id"], unique=False)

    op.create_table(
        "template_copy",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("template_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("store_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("zone_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("download_state", sa.String(length=32), nullable=False),
        sa.Column("percent", sa.Integer(), server_default="0", nullable=False),
        sa.Column("path", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("sha256", sa.String(length=64), server_default="", nullable=False),
        sa.Column("physical_size", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("virtual_size", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["store_id"], ["image_store.id"], name=op.f("fk_template_copy_store_id")),
        sa.ForeignKeyConstraint(["template_id"], ["template.id"], name=op.f("fk_template_copy_template_id")),
        sa.ForeignKeyConstraint(["zone_id"], ["zone.id"], name=op.f("fk_template_copy_zone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_template_copy")),
        sa.UniqueConstraint("template_id", "store_id", name=op.f("uq_template_copy_template_id_store_id")),
    )
    with op.batch_alter_table("template_copy", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_template_copy_store_id"), ["store_id"], unique=False)


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("template_copy", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_template_copy_store_id"))

    op.drop_table("template_copy")
    with op.batch_alter_table("template", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_template_account_id"))

    op.drop_table("template")
    with op.batch_alter_table("os_mapping", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_os_mapping_os_type_id"))

    op.drop_table("os_mapping")
    with op.batch_alter_table("image_store", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_image_store_zone_id"))

    op.drop_table("image_store")
    op.drop_table("os_type")
    op.drop_table("os_category")
