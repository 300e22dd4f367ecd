"""Tables of what hangs on objects of any kind; the object is named by its uuid, whichever table it is in."""

from __future__ import annotations

import sqlalchemy as sa

from pileus.core.database import identity, metadata, type_id

resource_tag = sa.Table(
    "resource_tag",
    metadata,
    identity(),
    sa.Column("resource_type", sa.String(64), nullable=False),  # UserVm Volume ... as clients write it
    sa.Column("resource_uuid", sa.String(36), nullable=False),
    sa.Column("key", sa.String(255), nullable=False),
    sa.Column("value", sa.String(255), nullable=False),
    sa.Column("customer", sa.String(255)),
    sa.Column("account_id", type_id, sa.ForeignKey("account.id"), nullable=False, index=True),  # the object's owner
    sa.Column("domain_id", type_id, sa.ForeignKey("domain.id"), nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.UniqueConstraint("resource_uuid", "key"),
)
sa.Index("ix_resource_tag_key_value", resource_tag.c.key, resource_tag.c.value)

annotation = sa.Table(
    "annotation",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("entity_type", sa.String(32), nullable=False),  # VM VOLUME HOST ...
    sa.Column("entity_uuid", sa.String(36), nullable=False, index=True),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("user_id", type_id, sa.ForeignKey("user_.id"), nullable=False, index=True),
    sa.Column("admins_only", sa.Boolean, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("removed", sa.Float),
)

resource_icon = sa.Table(
    "resource_icon",
    metadata,
    identity(),
    sa.Column("resource_type", sa.String(64), nullable=False),
    sa.Column("resource_uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("image", sa.Text, nullable=False),  # base64
    sa.Column("updated", sa.Float, nullable=False),
)

resource_detail = sa.Table(
    "resource_detail",
    metadata,
    identity(),
    sa.Column("resource_type", sa.String(64), nullable=False),
    sa.Column("resource_uuid", sa.String(36), nullable=False),
    sa.Column("key", sa.String(255), nullable=False),
    sa.Column("value", sa.String(5120), nullable=False),
    sa.Column("display", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.UniqueConstraint("resource_uuid", "key"),
)
