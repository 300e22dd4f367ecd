"""Certificates that the cloud's authority signed, and those that downloads of templates trust."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "certificate",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("serial", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("issued", sa.Float(), nullable=True),
        sa.Column("expires", sa.Float(), nullable=True),
        sa.Column("revoked", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_certificate")),
        sa.UniqueConstraint("serial", name=op.f("uq_certificate_serial")),
    )
    op.create_index(op.f("ix_certificate_name"), "certificate", ["name"])
    op.create_table(
        "download_certificate",
        sa.Column("id", number, autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("zone_id", number, nullable=False),
        sa.Column("hypervisor", sa.String(length=32), nullable=False),
        sa.Column("alias", sa.String(length=255), nullable=False),
        sa.Column("certificate", sa.Text(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["zone_id"], ["zone.id"], name=op.f("fk_download_certificate_zone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_download_certificate")),
        sa.UniqueConstraint("uuid", name=op.f("uq_download_certificate_uuid")),
        sa.UniqueConstraint(
            "zone_id", "hypervisor", "alias", name=op.f("uq_download_certificate_zone_id_hypervisor_alias")
        ),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("download_certificate")
    op.drop_table("certificate")
