"""Tables of the simulator: the journal of its hosts, and the objects that they hold.

They are the simulated hosts' own disk, so to speak: nothing else in the server reads or joins them, and they are
written in transactions of their own, so that hosts live on when a server is killed.
"""

from __future__ import annotations

import sqlalchemy as sa

from pileus.core.database import identity, metadata, type_id

sim_operation = sa.Table(
    "sim_operation",
    metadata,
    sa.Column("id", sa.String(512), primary_key=True),
    sa.Column("host", type_id, nullable=False),
    sa.Column("answer", sa.Text, nullable=False),  # JSON of wire.operations.Answer
    sa.Column("at", sa.Float, nullable=False, index=True),
)

sim_object = sa.Table(
    "sim_object",
    metadata,
    sa.Column("key", sa.String(512), primary_key=True),  # "machine:<host>/<name>", "volume:<pool>/<uuid>", ...
    sa.Column("sort", sa.String(16), nullable=False),  # machine volume router segment fence
    sa.Column("host", type_id, nullable=False),  # 0 = none: a volume is in its pool
    sa.Column("value", sa.Text, nullable=False),  # JSON
    sa.Index("ix_sim_object_host_sort", "host", "sort"),
)

sim_mock = sa.Table(
    "sim_mock",
    metadata,
    identity(),
    sa.Column("kind", sa.String(64), nullable=False),  # of operations
    sa.Column("zone_id", type_id),  # null: any
    sa.Column("pod_id", type_id),
    sa.Column("cluster_id", type_id),
    sa.Column("host_id", type_id),
    sa.Column("wait", sa.Integer, nullable=False, server_default="0"),  # milliseconds
    sa.Column("timeout", sa.Integer, nullable=False, server_default="0"),  # seconds
    sa.Column("fails", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("left", sa.Integer),  # how often it still happens; null: always
    sa.Column("created", sa.Float, nullable=False),
)
