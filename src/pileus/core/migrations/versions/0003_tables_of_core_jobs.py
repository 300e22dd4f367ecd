"""Tables of core jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "convergence",
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column(
            "object_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("desired", sa.BigInteger(), nullable=False),
        sa.Column("applied", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("in_flight", sa.BigInteger(), nullable=True),
        sa.Column("owner", sa.String(length=128), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_try", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("kind", "object_id", name=op.f("pk_convergence")),
    )
    with op.batch_alter_table("convergence", schema=None) as batch_op:
        batch_op.create_index(
            "ix_convergence_due",
            ["next_try"],
            unique=False,
            sqlite_where=sa.text("in_flight IS NULL AND applied < desired"),
            postgresql_where=sa.text("in_flight IS NULL AND applied < desired"),
        )
        batch_op.create_index(
            "ix_convergence_in_flight",
            ["owner"],
            unique=False,
            sqlite_where=sa.text("in_flight IS NOT NULL"),
            postgresql_where=sa.text("in_flight IS NOT NULL"),
        )

    op.create_table(
        "convergence_waiter",
        sa.Column("job_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("step", sa.String(length=255), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("object_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("deadline", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "step", name=op.f("pk_convergence_waiter")),
    )
    with op.batch_alter_table("convergence_waiter", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_convergence_waiter_deadline"), ["deadline"], unique=False)
        batch_op.create_index("ix_convergence_waiter_object", ["kind", "object_id"], unique=False)

    op.create_table(
        "job",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=64), nullable=False),
        sa.Column("workflow", sa.String(length=128), nullable=False),
        sa.Column("arguments", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("phase", sa.String(length=8), server_default="run", nullable=False),
        sa.Column("cmd", sa.String(length=128), server_default="", nullable=False),
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("domain_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("role", sa.String(length=32), server_default="", nullable=False),
        sa.Column("admin", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("instance_type", sa.String(length=64), nullable=True),
        sa.Column("instance_uuid", sa.String(length=64), nullable=True),
        sa.Column("event", sa.Text(), nullable=True),
        sa.Column("event_start_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("request", sa.String(length=64), server_default="", nullable=False),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("result_code", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("progress", sa.Float(), server_default="0", nullable=False),
        sa.Column("progress_text", sa.Text(), server_default="", nullable=False),
        sa.Column("owner", sa.String(length=128), nullable=True),
        sa.Column("lease_until", sa.Float(), nullable=True),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("pending", sa.Integer(), server_default="0", nullable=False),
        sa.Column("wake_at", sa.Float(), nullable=True),
        sa.Column("deadline", sa.Float(), nullable=False),
        sa.Column("cancel_requested", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("parent_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("parent_step", sa.String(length=255), nullable=True),
        sa.Column("parent_position", sa.Integer(), nullable=True),
        sa.Column("parent_undo", sa.String(length=128), nullable=True),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("started", sa.Float(), nullable=True),
        sa.Column("completed", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
        sa.UniqueConstraint("uuid", name=op.f("uq_job_uuid")),
    )
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_job_account_id"), ["account_id"], unique=False)
        batch_op.create_index(
            "ix_job_completed",
            ["completed"],
            unique=False,
            sqlite_where=sa.text("completed IS NOT NULL"),
            postgresql_where=sa.text("completed IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_job_key_live",
            ["key", "id"],
            unique=False,
            sqlite_where=sa.text("state IN ('queued', 'ready', 'running', 'waiting')"),
            postgresql_where=sa.text("state IN ('queued', 'ready', 'running', 'waiting')"),
        )
        batch_op.create_index(
            "ix_job_parent",
            ["parent_id"],
            unique=False,
            sqlite_where=sa.text("parent_id IS NOT NULL"),
            postgresql_where=sa.text("parent_id IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_job_ready",
            ["id"],
            unique=False,
            sqlite_where=sa.text("state = 'ready'"),
            postgresql_where=sa.text("state = 'ready'"),
        )
        batch_op.create_index(
            "ix_job_running",
            ["lease_until"],
            unique=False,
            sqlite_where=sa.text("state = 'running'"),
            postgresql_where=sa.text("state = 'running'"),
        )
        batch_op.create_index(
            "ix_job_waiting",
            ["wake_at"],
            unique=False,
            sqlite_where=sa.text("state = 'waiting'"),
            postgresql_where=sa.text("state = 'waiting'"),
        )
        batch_op.create_index(
            "uq_job_key_active",
            ["key"],
            unique=True,
            sqlite_where=sa.text("state IN ('ready', 'running', 'waiting')"),
            postgresql_where=sa.text("state IN ('ready', 'running', 'waiting')"),
        )

    op.create_table(
        "job_step",
        sa.Column("job_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("output", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("undo", sa.String(length=128), nullable=True),
        sa.Column("undone", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "name", name=op.f("pk_job_step")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("operation", sa.String(length=512), nullable=False),
        sa.Column("job_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("step", sa.String(length=255), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("undo", sa.String(length=128), nullable=True),
        sa.Column("host", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=128), nullable=False),
        sa.Column("object", sa.String(length=255), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("arguments", sa.Text(), nullable=False),
        sa.Column("request", sa.String(length=64), server_default="", nullable=False),
        sa.Column("deadline", sa.Float(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("owner", sa.String(length=128), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("job_id", "step", name=op.f("uq_outbox_job_id_step")),
    )
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_outbox_job_id"), ["job_id"], unique=False)
        batch_op.create_index(
            "ix_outbox_queued",
            ["host", "id"],
            unique=False,
            sqlite_where=sa.text("state = 'queued'"),
            postgresql_where=sa.text("state = 'queued'"),
        )
        batch_op.create_index(
            "ix_outbox_sent",
            ["owner"],
            unique=False,
            sqlite_where=sa.text("state IN ('sent', 'abort')"),
            postgresql_where=sa.text("state IN ('sent', 'abort')"),
        )

    op.create_table(
        "schedule",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("next_run", sa.Float(), nullable=False),
        sa.Column("last_run", sa.Float(), nullable=True),
        sa.Column("owner", sa.String(length=128), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_schedule")),
    )
    op.create_table(
        "server",
        sa.Column("uuid", sa.String(length=128), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("address", sa.String(length=255), server_default="", nullable=False),
        sa.Column("started", sa.Float(), nullable=False),
        sa.Column("heartbeat", sa.Float(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("uuid", name=op.f("pk_server")),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("server")
    op.drop_table("schedule")
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_outbox_sent",
            sqlite_where=sa.text("state IN ('sent', 'abort')"),
            postgresql_where=sa.text("state IN ('sent', 'abort')"),
        )
        batch_op.drop_index(
            "ix_outbox_queued", sqlite_where=sa.text("state = 'queued'"), postgresql_where=sa.text("state = 'queued'")
        )
        batch_op.drop_index(batch_op.f("ix_outbox_job_id"))

    op.drop_table("outbox")
    op.drop_table("job_step")
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_job_key_active",
            sqlite_where=sa.text("state IN ('ready', 'running', 'waiting')"),
            postgresql_where=sa.text("state IN ('ready', 'running', 'waiting')"),
        )
        batch_op.drop_index(
            "ix_job_waiting", sqlite_where=sa.text("state = 'waiting'"), postgresql_where=sa.text("state = 'waiting'")
        )
        batch_op.drop_index(
            "ix_job_running", sqlite_where=sa.text("state = 'running'"), postgresql_where=sa.text("state = 'running'")
        )
        batch_op.drop_index(
            "ix_job_ready", sqlite_where=sa.text("state = 'ready'"), postgresql_where=sa.text("state = 'ready'")
        )
        batch_op.drop_index(
            "ix_job_parent",
            sqlite_where=sa.text("parent_id IS NOT NULL"),
            postgresql_where=sa.text("parent_id IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_job_key_live",
            sqlite_where=sa.text("state IN ('queued', 'ready', 'running', 'waiting')"),
            postgresql_where=sa.text("state IN ('queued', 'ready', 'running', 'waiting')"),
        )
        batch_op.drop_index(
            "ix_job_completed",
            sqlite_where=sa.text("completed IS NOT NULL"),
            postgresql_where=sa.text("completed IS NOT NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_job_account_id"))

    op.drop_table("job")
    with op.batch_alter_table("convergence_waiter", schema=None) as batch_op:
        batch_op.drop_index("ix_convergence_waiter_object")
        batch_op.drop_index(batch_op.f("ix_convergence_waiter_deadline"))

    op.drop_table("convergence_waiter")
    with op.batch_alter_table("convergence", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_convergence_in_flight",
            sqlite_where=sa.text("in_flight IS NOT NULL"),
            postgresql_where=sa.text("in_flight IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_convergence_due",
            sqlite_where=sa.text("in_flight IS NULL AND applied < desired"),
            postgresql_where=sa.text("in_flight IS NULL AND applied < desired"),
        )

    op.drop_table("convergence")
