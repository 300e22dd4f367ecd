"""Tables of the job engine: jobs, their steps, the outbox, convergence, schedules and the servers that are alive."""

from __future__ import annotations

import sqlalchemy as sa

from pileus.core.database import identity, metadata, type_id

ACTIVE = ("ready", "running", "waiting")
"""States of a job that holds its key."""

FINAL = ("done", "failed", "cancelled")
"""States that a job never leaves."""

_ACTIVE_SQL = sa.text("state IN ('ready', 'running', 'waiting')")
_LIVE_SQL = sa.text("state IN ('queued', 'ready', 'running', 'waiting')")


def _flag(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.SmallInteger, nullable=False, server_default="0")


job = sa.Table(
    "job",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(64), nullable=False, unique=True),
    sa.Column("workflow", sa.String(128), nullable=False),
    sa.Column("arguments", sa.JSON(none_as_null=True), nullable=False),
    sa.Column("key", sa.String(128)),  # jobs with the same key run one after another, in the order of their ids
    sa.Column("state", sa.String(16), nullable=False),  # queued ready running waiting, then done failed cancelled
    sa.Column("phase", sa.String(8), nullable=False, server_default="run"),  # run, or undo once it has failed
    sa.Column("cmd", sa.String(128), nullable=False, server_default=""),
    sa.Column("user_id", type_id),
    sa.Column("account_id", type_id, index=True),
    sa.Column("domain_id", type_id),
    sa.Column("role", sa.String(32), nullable=False, server_default=""),
    _flag("admin"),
    sa.Column("instance_type", sa.String(64)),
    sa.Column("instance_uuid", sa.String(64)),
    sa.Column("event", sa.Text),  # JSON of the event context
    sa.Column("event_start_id", type_id),
    sa.Column("request", sa.String(64), nullable=False, server_default=""),
    sa.Column("result", sa.JSON(none_as_null=True)),
    sa.Column("result_code", sa.Integer, nullable=False, server_default="0"),
    sa.Column("failure", sa.Text),  # JSON of sql.Outcome, from the moment when undoing begins
    sa.Column("progress", sa.Float, nullable=False, server_default="0"),  # 0..1
    sa.Column("progress_text", sa.Text, nullable=False, server_default=""),
    sa.Column("owner", sa.String(128)),  # the server process that runs it
    sa.Column("lease_until", sa.Float),
    sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),  # grows with every claim: guards commits
    sa.Column("pending", sa.Integer, nullable=False, server_default="0"),  # answers that a waiting job lacks
    sa.Column("wake_at", sa.Float),
    sa.Column("deadline", sa.Float, nullable=False),
    _flag("cancel_requested"),
    sa.Column("parent_id", type_id),
    sa.Column("parent_step", sa.String(255)),
    sa.Column("parent_position", sa.Integer),
    sa.Column("parent_undo", sa.String(128)),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("started", sa.Float),
    sa.Column("completed", sa.Float),
    sa.Index("uq_job_key_active", "key", unique=True, sqlite_where=_ACTIVE_SQL, postgresql_where=_ACTIVE_SQL),
    sa.Index("ix_job_key_live", "key", "id", sqlite_where=_LIVE_SQL, postgresql_where=_LIVE_SQL),
    sa.Index(
        "ix_job_ready", "id", sqlite_where=sa.text("state = 'ready'"), postgresql_where=sa.text("state = 'ready'")
    ),
    sa.Index(
        "ix_job_running",
        "lease_until",
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    ),
    sa.Index(
        "ix_job_waiting",
        "wake_at",
        sqlite_where=sa.text("state = 'waiting'"),
        postgresql_where=sa.text("state = 'waiting'"),
    ),
    sa.Index(
        "ix_job_parent",
        "parent_id",
        sqlite_where=sa.text("parent_id IS NOT NULL"),
        postgresql_where=sa.text("parent_id IS NOT NULL"),
    ),
    sa.Index(
        "ix_job_completed",
        "completed",
        sqlite_where=sa.text("completed IS NOT NULL"),
        postgresql_where=sa.text("completed IS NOT NULL"),
    ),
)

job_step = sa.Table(
    "job_step",
    metadata,
    sa.Column("job_id", type_id, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("output", sa.Text),  # JSON
    sa.Column("error", sa.Text),  # JSON of sql.Outcome
    sa.Column("undo", sa.String(128)),
    _flag("undone"),  # 1 undone, 2 could not be undone
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),  # failed tries to undo it
    sa.Column("at", sa.Float, nullable=False),
)

outbox = sa.Table(
    "outbox",
    metadata,
    identity(),
    sa.Column("operation", sa.String(512), nullable=False),  # the operation's id
    sa.Column("job_id", type_id, nullable=False, index=True),
    sa.Column("step", sa.String(255), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("undo", sa.String(128)),
    sa.Column("host", type_id, nullable=False),
    sa.Column("kind", sa.String(128), nullable=False),
    sa.Column("object", sa.String(255), nullable=False),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("arguments", sa.Text, nullable=False),  # JSON
    sa.Column("request", sa.String(64), nullable=False, server_default=""),
    sa.Column("deadline", sa.Float, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),  # queued sent done abort
    sa.Column("owner", sa.String(128)),
    sa.UniqueConstraint("job_id", "step"),
    sa.Index(
        "ix_outbox_queued",
        "host",
        "id",
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    ),
    sa.Index(
        "ix_outbox_sent",
        "owner",
        sqlite_where=sa.text("state IN ('sent', 'abort')"),
        postgresql_where=sa.text("state IN ('sent', 'abort')"),
    ),
)

convergence = sa.Table(
    "convergence",
    metadata,
    sa.Column("kind", sa.String(64), primary_key=True),
    sa.Column("object_id", type_id, primary_key=True, autoincrement=False),
    sa.Column("desired", sa.BigInteger, nullable=False),
    sa.Column("applied", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("in_flight", sa.BigInteger),
    sa.Column("owner", sa.String(128)),
    sa.Column("error", sa.Text),
    sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
    sa.Column("next_try", sa.Float),  # null: given up until the next wish
    sa.Index(
        "ix_convergence_due",
        "next_try",
        sqlite_where=sa.text("in_flight IS NULL AND applied < desired"),
        postgresql_where=sa.text("in_flight IS NULL AND applied < desired"),
    ),
    sa.Index(
        "ix_convergence_in_flight",
        "owner",
        sqlite_where=sa.text("in_flight IS NOT NULL"),
        postgresql_where=sa.text("in_flight IS NOT NULL"),
    ),
)

convergence_waiter = sa.Table(
    "convergence_waiter",
    metadata,
    sa.Column("job_id", type_id, primary_key=True, autoincrement=False),
    sa.Column("step", sa.String(255), primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("object_id", type_id, nullable=False),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("deadline", sa.Float, nullable=False, index=True),
    sa.Index("ix_convergence_waiter_object", "kind", "object_id"),
)

schedule = sa.Table(
    "schedule",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("next_run", sa.Float, nullable=False),
    sa.Column("last_run", sa.Float),
    sa.Column("owner", sa.String(128)),
)

server = sa.Table(
    "server",
    metadata,
    sa.Column("uuid", sa.String(128), primary_key=True),  # of the process: "<name>:<random>"
    sa.Column("name", sa.String(128), nullable=False),
    sa.Column("address", sa.String(255), nullable=False, server_default=""),
    sa.Column("started", sa.Float, nullable=False),
    sa.Column("heartbeat", sa.Float, nullable=False),
    sa.Column("state", sa.String(32)),  # null: Up; else what it was told: membership.DRAINING
    sa.Column("agents_url", sa.String(255), nullable=False, server_default=""),  # where agents reach it
    sa.Column("algorithm", sa.String(16)),  # in maintenance: by which its agents are spread over the others
    sa.Column("drained_by", sa.Float),  # when maintenance must have been reached
    sa.Column("forced", sa.Boolean, nullable=False, server_default=sa.true()),  # ... with jobs that still run, too
)
