"""What of projects counts against limits: each counts for the accounts that are its admins."""

from __future__ import annotations

from sqlalchemy import Connection

from pileus.identity.limits import checking
from pileus.identity.limits.counting import Source, register
from pileus.identity.limits.types import Kind


def sources() -> None:
    """Register it."""
    register(
        Source(
            table="project_member",
            when="{r}.role = 'Admin'",
            amounts={Kind.PROJECTS: "1"},
            decides=("role",),
            account="{r}.member_account_id",
        )
    )


def claim(db: Connection, account_id: int) -> None:
    """Check that an account may be the admin of one more project."""
    checking.claim(db, account_id, {Kind.PROJECTS: 1})
