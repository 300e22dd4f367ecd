"""Resource counts by slot, so that transactions of one account do not wait for one another.

The triggers that kept them go: the server makes its own when it starts, and counts everything anew.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    _without_triggers()
    op.drop_table("resource_count")
    op.create_table(
        "resource_count",
        sa.Column("account_id", big, autoincrement=False, nullable=False),
        sa.Column("type", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("slot", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "type", "slot", name=op.f("pk_resource_count")),
    )


def downgrade() -> None:
    """Take back."""
    _without_triggers()
    op.drop_table("resource_count")
    op.create_table(
        "resource_count",
        sa.Column("account_id", big, autoincrement=False, nullable=False),
        sa.Column("type", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_resource_count_amount_not_negative")),
        sa.PrimaryKeyConstraint("account_id", "type", name=op.f("pk_resource_count")),
    )


def _without_triggers() -> None:
    db = op.get_bind()
    if db.dialect.name == "postgresql":
        made = db.exec_driver_sql(
            "SELECT t.tgname, c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
            "WHERE starts_with(t.tgname::text, 'limit_of_') AND pg_table_is_visible(c.oid)"
        )
        for name, table in made.all():
            db.exec_driver_sql(f"DROP TRIGGER {name} ON {table}")
            db.exec_driver_sql(f"DROP FUNCTION IF EXISTS {name}()")
        return
    made = db.exec_driver_sql(
        "SELECT name FROM sqlite_master WHERE type = 'trigger' AND substr(name, 1, 9) = 'limit_of_'"
    )
    for (name,) in made.all():
        db.exec_driver_sql(f"DROP TRIGGER {name}")
