"""The index on what names are compared by, and the triggers that keep exact counts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pileus.core import counters

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index("ix_machine_lower_name", "machine", [sa.text("lower(name)")])
    for table in ("machine", "volume"):
        counters.install(op.get_bind(), table)


def downgrade() -> None:
    """Take back."""
    op.drop_index("ix_machine_lower_name", "machine")
