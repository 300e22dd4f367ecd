"""What hosts, machines and volumes use, as agents measure it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

_COUNTERS = {
    "machine": ("received_kib", "sent_kib", "read_kib", "written_kib", "reads", "writes"),
    "volume": ("read_kib", "written_kib", "reads", "writes"),
}


def upgrade() -> None:
    """Apply."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("host", sa.Column("cpu_percent", sa.Float(), nullable=True))
    op.add_column("host", sa.Column("received_kib", number, nullable=True))
    op.add_column("host", sa.Column("sent_kib", number, nullable=True))
    for kind, counters in _COUNTERS.items():
        table = f"{kind}_statistics"
        own = [
            sa.Column("cpu_percent", sa.Float(), nullable=True),
            sa.Column("memory_kib", number, nullable=False),
            sa.Column("free_kib", number, nullable=True),
        ]
        op.create_table(
            table,
            sa.Column(f"{kind}_id", number, autoincrement=False, nullable=False),
            sa.Column("at", sa.Float(), nullable=False),
            *(own if kind == "machine" else []),
            *(sa.Column(name, number, nullable=False) for name in counters),
            sa.ForeignKeyConstraint(
                [f"{kind}_id"], [f"{kind}.id"], name=op.f(f"fk_{table}_{kind}_id_{kind}"), ondelete="CASCADE"
            ),
            sa.PrimaryKeyConstraint(f"{kind}_id", name=op.f(f"pk_{table}")),
        )


def downgrade() -> None:
    """Take back."""
    for kind in reversed(_COUNTERS):
        op.drop_table(f"{kind}_statistics")
    for column in ("sent_kib", "received_kib", "cpu_percent"):
        op.drop_column("host", column)
