"""Second factors of users, tokens that reset a password, failed log-ins counted for all servers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_USER = ("two_factor_state", "two_factor_provider", "two_factor_key", "two_factor_step", "two_factor_mandated")


def upgrade() -> None:
    """Apply."""
    for column in (
        sa.Column("two_factor_state", sa.String(length=8), server_default="off", nullable=False),
        sa.Column("two_factor_provider", sa.String(length=16), nullable=True),
        sa.Column("two_factor_key", sa.Text(), nullable=True),
        sa.Column("two_factor_step", sa.BigInteger(), nullable=True),
        sa.Column("two_factor_mandated", sa.Boolean(), server_default=sa.false(), nullable=False),
    ):
        op.add_column("user_", column)
    op.add_column("session", sa.Column("verified", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.create_table(
        "password_reset",
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("expires", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user_.id"], name=op.f("fk_password_reset_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_password_reset")),
    )
    op.create_table(
        "sign_in_failure",
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("last", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("key_hash", name=op.f("pk_sign_in_failure")),
    )
    op.create_index(op.f("ix_sign_in_failure_last"), "sign_in_failure", ["last"])


def downgrade() -> None:
    """Take back."""
    op.drop_table("sign_in_failure")
    op.drop_table("password_reset")
    op.drop_column("session", "verified")
    for name in reversed(_USER):
        op.drop_column("user_", name)
