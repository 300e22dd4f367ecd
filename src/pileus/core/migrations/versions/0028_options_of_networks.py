"""Reserved parts and ranges of networks, DHCP options of NICs, labels of two more hypervisors."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

_COLUMNS: dict[str, tuple[str, ...]] = {
    "network": ("guest_cidr", "start_address", "end_address"),
    "traffic_type": ("hyperv_label", "ovm3_label"),
}
_LENGTHS = {"network": 64, "traffic_type": 255}


def upgrade() -> None:
    """Apply."""
    for table, columns in _COLUMNS.items():
        for column in columns:
            op.add_column(table, sa.Column(column, sa.String(length=_LENGTHS[table]), nullable=True))
    op.add_column("nic", sa.Column("dhcp_options", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    """Take back."""
    op.drop_column("nic", "dhcp_options")
    for table, columns in _COLUMNS.items():
        for column in columns:
            op.drop_column(table, column)
