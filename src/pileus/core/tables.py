"""Tables of the core itself: settings and events (the jobs' are beside the engine)."""

from __future__ import annotations

import sqlalchemy as sa

from pileus.core.database import identity, metadata, type_id

setting = sa.Table(
    "setting",
    metadata,
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("scope", sa.String(32), primary_key=True),  # global zone cluster ...
    sa.Column("scope_id", type_id, primary_key=True, autoincrement=False),  # 0 for global
    sa.Column("value", sa.Text),
)

event = sa.Table(
    "event",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("type", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),  # Created Scheduled Started Completed
    sa.Column("level", sa.String(8), nullable=False),  # INFO WARN ERROR
    sa.Column("description", sa.String(1024), nullable=False),
    sa.Column("user_id", type_id, nullable=False),
    sa.Column("account_id", type_id, nullable=False),
    sa.Column("domain_id", type_id, nullable=False),
    sa.Column("start_id", type_id, nullable=False, server_default="0"),
    sa.Column("resource_type", sa.String(64)),
    sa.Column("resource_uuid", sa.String(36)),
    sa.Column("request", sa.String(64), nullable=False, server_default=""),
    sa.Column("archived", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("created", sa.Float, nullable=False),
)
alert = sa.Table(
    "alert",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("type", sa.SmallInteger, nullable=False),  # CloudStack's number, see alerts.TYPES
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("description", sa.String(1024), nullable=False),
    sa.Column("zone_id", type_id),
    sa.Column("pod_id", type_id),
    sa.Column("cluster_id", type_id),
    sa.Column("times", sa.Integer, nullable=False, server_default="1"),  # raised again and again while it stands
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("last", sa.Float, nullable=False),
    sa.Column("mailed", sa.Float),
    sa.Column("mail_tries", sa.Integer, nullable=False, server_default="0"),
    sa.Column("archived", sa.Boolean, nullable=False, server_default=sa.false()),
)
sa.Index("ix_alert_type_last", alert.c.type, alert.c.last)
sa.Index("ix_alert_mailed", alert.c.mailed, alert.c.id)
sa.Index("ix_event_account_created", event.c.account_id, event.c.created)
sa.Index("ix_event_created", event.c.created)

usage_event = sa.Table(
    "usage_event",
    metadata,
    identity(),
    sa.Column("type", sa.String(32), nullable=False),  # VM.CREATE ...
    sa.Column("account_id", type_id, nullable=False),
    sa.Column("domain_id", type_id, nullable=False),
    sa.Column("zone_id", type_id),
    sa.Column("resource_id", type_id, nullable=False),
    sa.Column("resource_uuid", sa.String(36), nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("offering_id", type_id),
    sa.Column("template_id", type_id),
    sa.Column("size", sa.BigInteger),  # bytes
    sa.Column("virtual_size", sa.BigInteger),
    sa.Column("kind", sa.String(64)),
    sa.Column("created", sa.Float, nullable=False),
)
sa.Index("ix_usage_event_resource", usage_event.c.resource_uuid, usage_event.c.id)
sa.Index("ix_usage_event_created", usage_event.c.created)

certificate = sa.Table(
    "certificate",
    metadata,
    identity(),
    sa.Column("serial", sa.String(64), nullable=False, unique=True),  # hexadecimal, lower case
    sa.Column("name", sa.String(255), nullable=False, index=True),  # common name of the subject
    sa.Column("issued", sa.Float),  # null: revoked by its serial alone, nobody knows when it was signed
    sa.Column("expires", sa.Float),
    sa.Column("revoked", sa.Float),
)
