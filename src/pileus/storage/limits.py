"""What of volumes counts against limits: those that are not deleted, with their full size."""

from __future__ import annotations

from pileus.identity.limits.counting import Source, register
from pileus.identity.limits.types import Kind
from pileus.storage.volumes import DESTROY, EXPUNGED, EXPUNGING


def sources() -> None:
    """Register it."""
    gone = ", ".join(f"'{state}'" for state in (DESTROY, EXPUNGING, EXPUNGED))
    register(
        Source(
            table="volume",
            when=f"{{r}}.removed IS NULL AND {{r}}.state NOT IN ({gone})",
            amounts={Kind.VOLUMES: "1", Kind.PRIMARY_STORAGE: "{r}.size"},
            watched=("size",),
            decides=("removed", "state"),
        )
    )
