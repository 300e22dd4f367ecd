"""Tables of identity projects."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "project",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("display_text", sa.String(length=255), nullable=True),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("domain_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("state", sa.String(length=16), server_default="Active", nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("removed", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_project_account_id")),
        sa.ForeignKeyConstraint(["domain_id"], ["domain.id"], name=op.f("fk_project_domain_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project")),
        sa.UniqueConstraint("account_id", name=op.f("uq_project_account_id")),
        sa.UniqueConstraint("uuid", name=op.f("uq_project_uuid")),
    )
    with op.batch_alter_table("project", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_project_domain_id"), ["domain_id"], unique=False)
        batch_op.create_index(
            "uq_project_live_name",
            ["domain_id", "name"],
            unique=True,
            sqlite_where=sa.text("removed IS NULL"),
            postgresql_where=sa.text("removed IS NULL"),
        )

    op.create_table(
        "project_role",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_project_role_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project_role")),
        sa.UniqueConstraint("project_id", "name", name=op.f("uq_project_role_project_id_name")),
        sa.UniqueConstraint("uuid", name=op.f("uq_project_role_uuid")),
    )
    op.create_table(
        "project_invitation",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("domain_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("email", sa.String(length=255), nullable=True),
        sa.Column("token_hash", sa.String(length=64), nullable=True),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("project_role_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_project_invitation_account_id")),
        sa.ForeignKeyConstraint(["domain_id"], ["domain.id"], name=op.f("fk_project_invitation_domain_id")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_project_invitation_project_id")),
        sa.ForeignKeyConstraint(
            ["project_role_id"], ["project_role.id"], name=op.f("fk_project_invitation_project_role_id")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["user_.id"], name=op.f("fk_project_invitation_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project_invitation")),
        sa.UniqueConstraint("uuid", name=op.f("uq_project_invitation_uuid")),
    )
    with op.batch_alter_table("project_invitation", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_project_invitation_account_id"), ["account_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_project_invitation_project_id"), ["project_id"], unique=False)

    op.create_table(
        "project_member",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("project_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("member_account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("member_user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("project_role_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("created", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["member_account_id"], ["account.id"], name=op.f("fk_project_member_member_account_id")
        ),
        sa.ForeignKeyConstraint(["member_user_id"], ["user_.id"], name=op.f("fk_project_member_member_user_id")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_project_member_project_id")),
        sa.ForeignKeyConstraint(
            ["project_role_id"], ["project_role.id"], name=op.f("fk_project_member_project_role_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project_member")),
        sa.UniqueConstraint(
            "project_id",
            "member_account_id",
            "member_user_id",
            name=op.f("uq_project_member_project_id_member_account_id_member_user_id"),
        ),
    )
    with op.batch_alter_table("project_member", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_project_member_member_account_id"), ["member_account_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_project_member_member_user_id"), ["member_user_id"], unique=False)
        batch_op.create_index(
            "uq_project_member_account",
            ["project_id", "member_account_id"],
            unique=True,
            sqlite_where=sa.text("member_user_id IS NULL"),
            postgresql_where=sa.text("member_user_id IS NULL"),
        )

    op.create_table(
        "project_role_permission",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("project_role_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("rule", sa.String(length=255), nullable=False),
        sa.Column("permission", sa.String(length=8), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_project_role_permission_project_id")),
        sa.ForeignKeyConstraint(
            ["project_role_id"], ["project_role.id"], name=op.f("fk_project_role_permission_project_role_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project_role_permission")),
        sa.UniqueConstraint("uuid", name=op.f("uq_project_role_permission_uuid")),
    )
    with op.batch_alter_table("project_role_permission", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_project_role_permission_project_role_id"), ["project_role_id"], unique=False
        )


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("project_role_permission", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_project_role_permission_project_role_id"))

    op.drop_table("project_role_permission")
    with op.batch_alter_table("project_member", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_project_member_account",
            sqlite_where=sa.text("member_user_id IS NULL"),
            postgresql_where=sa.text("member_user_id IS NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_project_member_member_user_id"))
        batch_op.drop_index(batch_op.f("ix_project_member_member_account_id"))

    op.drop_table("project_member")
    with op.batch_alter_table("project_invitation", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_project_invitation_project_id"))
        batch_op.drop_index(batch_op.f("ix_project_invitation_account_id"))

    op.drop_table("project_invitation")
    op.drop_table("project_role")
    with op.batch_alter_table("project", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_project_live_name", sqlite_where=sa.text("removed IS NULL"), postgresql_where=sa.text("removed IS NULL")
        )
        batch_op.drop_index(batch_op.f("ix_project_domain_id"))

    op.drop_table("project")
