"""What of networks counts against limits: networks, and the public addresses that somebody has."""

from __future__ import annotations

from pileus.identity.limits.counting import Source, register
from pileus.identity.limits.types import Kind


def sources() -> None:
    """Register it."""
    register(
        Source(
            table="network",
            when="{r}.removed IS NULL AND {r}.acl_type = 'Account'",
            amounts={Kind.NETWORKS: "1"},
            decides=("removed", "acl_type"),
        )
    )
    register(
        Source(
            table="public_address",
            when="{r}.account_id IS NOT NULL",
            amounts={Kind.ADDRESSES: "1"},
            decides=("account_id",),
        )
    )
