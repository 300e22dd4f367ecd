"""What of images counts against limits: templates and ISOs, and the room that their copies take."""

from __future__ import annotations

from pileus.identity.limits.counting import Source, register
from pileus.identity.limits.types import Kind


def sources() -> None:
    """Register it."""
    register(
        Source(
            table="template",
            when="{r}.removed IS NULL",
            amounts={Kind.TEMPLATES: "1"},
            decides=("removed",),
        )
    )
    register(
        Source(
            table="template_copy",
            when="{r}.state <> 'Destroying'",
            amounts={Kind.SECONDARY_STORAGE: "{r}.physical_size"},
            watched=("physical_size",),
            decides=("state",),
            account="(SELECT template.account_id FROM template WHERE template.id = {r}.template_id)",
        )
    )
