"""Storage access groups, ranges of management addresses, tag rules, what servers tell agents."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_GROUPED = ("zone", "pod", "cluster", "host", "storage_pool")


def upgrade() -> None:
    """Apply."""
    for table in _GROUPED:
        op.add_column(table, sa.Column("access_groups", sa.String(length=1024), server_default="", nullable=False))
    for table in ("host", "storage_pool"):
        op.add_column(table, sa.Column("tag_rule", sa.String(length=4096), nullable=True))
    for table in ("cluster", "host"):
        op.add_column(table, sa.Column("username", sa.String(length=255), nullable=True))
        op.add_column(table, sa.Column("password", sa.Text(), nullable=True))
    op.add_column("host", sa.Column("os_category_id", _ID, nullable=True))
    op.add_column("hypervisor_limit", sa.Column("guests", sa.BigInteger(), nullable=True))
    op.add_column("server", sa.Column("agents_url", sa.String(length=255), server_default="", nullable=False))
    op.add_column("server", sa.Column("algorithm", sa.String(length=16), nullable=True))
    op.add_column("server", sa.Column("drained_by", sa.Float(), nullable=True))
    op.add_column("server", sa.Column("forced", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column("user_data", sa.Column("cni", sa.Boolean(), server_default=sa.false(), nullable=False))
    _ranges()


def _ranges() -> None:
    """Make a row of each pod's one range of management addresses."""
    ranges = op.create_table(
        "management_range",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("pod_id", _ID, nullable=False),
        sa.Column("gateway", sa.String(length=64), nullable=False),
        sa.Column("netmask", sa.String(length=64), nullable=False),
        sa.Column("start_ip", sa.String(length=64), nullable=False),
        sa.Column("end_ip", sa.String(length=64), nullable=False),
        sa.Column("vlan", sa.String(length=32), server_default="untagged", nullable=False),
        sa.Column("for_system_vms", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["pod_id"], ["pod.id"], name=op.f("fk_management_range_pod_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_management_range")),
        sa.UniqueConstraint("pod_id", "start_ip", name=op.f("uq_management_range_pod_id_start_ip")),
        sa.UniqueConstraint("uuid", name=op.f("uq_management_range_uuid")),
    )
    with op.batch_alter_table("management_range", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_management_range_pod_id"), ["pod_id"], unique=False)
    columns = ("gateway", "netmask", "start_ip", "end_ip", "created")
    cells: list[sa.ColumnClause[Any]] = [sa.column(name) for name in ("id", "removed", *columns)]
    pod = sa.table("pod", *cells)
    found = sa.select(pod).where(pod.c.removed.is_(None), pod.c.start_ip.is_not(None), pod.c.end_ip.is_not(None))
    rows = [
        {"uuid": str(uuid.uuid4()), "pod_id": row.id, **{name: getattr(row, name) for name in columns}}
        for row in op.get_bind().execute(found)
    ]
    if rows:
        op.bulk_insert(ranges, rows)
    op.drop_column("pod", "start_ip")
    op.drop_column("pod", "end_ip")


def downgrade() -> None:
    """Take back; of several ranges of a pod the first is kept."""
    op.add_column("pod", sa.Column("start_ip", sa.String(length=64), nullable=True))
    op.add_column("pod", sa.Column("end_ip", sa.String(length=64), nullable=True))
    for name in ("start_ip", "end_ip"):
        op.execute(
            f"UPDATE pod SET {name} = (SELECT {name} FROM management_range WHERE pod_id = pod.id ORDER BY id LIMIT 1)"  # noqa: S608
        )
    op.drop_table("management_range")
    op.drop_column("user_data", "cni")
    for name in ("agents_url", "algorithm", "drained_by", "forced"):
        op.drop_column("server", name)
    op.drop_column("hypervisor_limit", "guests")
    op.drop_column("host", "os_category_id")
    for table in ("cluster", "host"):
        op.drop_column(table, "username")
        op.drop_column(table, "password")
    for table in ("host", "storage_pool"):
        op.drop_column(table, "tag_rule")
    for table in _GROUPED:
        op.drop_column(table, "access_groups")
