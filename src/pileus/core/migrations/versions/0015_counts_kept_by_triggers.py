"""The index on what names are compared by.  (It made the triggers that count rows too; 0023 makes them now.)"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index("ix_machine_lower_name", "machine", [sa.text("lower(name)")])


def downgrade() -> None:
    """Take back."""
    op.drop_index("ix_machine_lower_name", "machine")
