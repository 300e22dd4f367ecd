"""Tables of limits: what was set, and what is counted."""

from __future__ import annotations

import sqlalchemy as sa

from pileus.core.database import identity, metadata, type_id

resource_limit = sa.Table(
    "resource_limit",
    metadata,
    identity(),
    sa.Column("account_id", type_id, sa.ForeignKey("account.id")),  # this or
    sa.Column("domain_id", type_id, sa.ForeignKey("domain.id")),  # that
    sa.Column("type", sa.SmallInteger, nullable=False),
    sa.Column("tag", sa.String(255), nullable=False, server_default=""),  # of hosts or storage; "" = of all
    sa.Column("most", sa.BigInteger, nullable=False),  # in the API's unit; -1 = unlimited
    sa.UniqueConstraint("account_id", "type", "tag"),
    sa.UniqueConstraint("domain_id", "type", "tag"),
)

# Written by triggers only (counting.py). What an account has is the sum of its slots, one of which may be below zero;
# what a domain has is the sum of its accounts.
resource_count = sa.Table(
    "resource_count",
    metadata,
    sa.Column("account_id", type_id, primary_key=True, autoincrement=False),
    sa.Column("type", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("slot", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("amount", sa.BigInteger, nullable=False),  # things, cores, MiB or bytes
)
