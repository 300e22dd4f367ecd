"""Tables of projects: the project beside its account, its members, roles, rules and invitations."""

from __future__ import annotations

import sqlalchemy as sa

from pileus.core.database import identity, metadata, type_id

project = sa.Table(
    "project",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("display_text", sa.String(255)),
    # The account that owns the project's objects; nobody signs in with it.
    sa.Column("account_id", type_id, sa.ForeignKey("account.id"), nullable=False, unique=True),
    sa.Column("domain_id", type_id, sa.ForeignKey("domain.id"), nullable=False, index=True),
    sa.Column("state", sa.String(16), nullable=False, server_default="Active"),  # Active Suspended Disabled
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("removed", sa.Float),
)
sa.Index(
    "uq_project_live_name",
    project.c.domain_id,
    project.c.name,
    unique=True,
    sqlite_where=project.c.removed.is_(None),
    postgresql_where=project.c.removed.is_(None),
)

project_role = sa.Table(
    "project_role",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("project_id", type_id, sa.ForeignKey("project.id"), nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("description", sa.String(255)),
    sa.UniqueConstraint("project_id", "name"),
)

project_role_permission = sa.Table(
    "project_role_permission",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("project_id", type_id, sa.ForeignKey("project.id"), nullable=False),
    sa.Column("project_role_id", type_id, sa.ForeignKey("project_role.id"), nullable=False, index=True),
    sa.Column("rule", sa.String(255), nullable=False),
    sa.Column("permission", sa.String(8), nullable=False),  # allow deny
    sa.Column("description", sa.Text),
    sa.Column("position", sa.Integer, nullable=False),
)

project_member = sa.Table(
    "project_member",
    metadata,
    identity(),
    sa.Column("project_id", type_id, sa.ForeignKey("project.id"), nullable=False),
    sa.Column("member_account_id", type_id, sa.ForeignKey("account.id"), nullable=False, index=True),
    sa.Column("member_user_id", type_id, sa.ForeignKey("user_.id"), index=True),  # null: every user of the account
    sa.Column("role", sa.String(16), nullable=False),  # Admin Regular
    sa.Column("project_role_id", type_id, sa.ForeignKey("project_role.id")),
    sa.Column("created", sa.Float, nullable=False),
    sa.UniqueConstraint("project_id", "member_account_id", "member_user_id"),
)
sa.Index(
    "uq_project_member_account",
    project_member.c.project_id,
    project_member.c.member_account_id,
    unique=True,
    sqlite_where=project_member.c.member_user_id.is_(None),
    postgresql_where=project_member.c.member_user_id.is_(None),
)

project_invitation = sa.Table(
    "project_invitation",
    metadata,
    identity(),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("project_id", type_id, sa.ForeignKey("project.id"), nullable=False, index=True),
    sa.Column("account_id", type_id, sa.ForeignKey("account.id"), index=True),  # null: invited by mail
    sa.Column("user_id", type_id, sa.ForeignKey("user_.id")),
    sa.Column("domain_id", type_id, sa.ForeignKey("domain.id"), nullable=False),
    sa.Column("email", sa.String(255)),
    sa.Column("token_hash", sa.String(64)),  # SHA-256 of what was mailed
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("project_role_id", type_id, sa.ForeignKey("project_role.id")),
    sa.Column("state", sa.String(16), nullable=False),  # Pending Completed Declined Expired
    sa.Column("created", sa.Float, nullable=False),
)
