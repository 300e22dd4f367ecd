"""Storage providers: what primary storage and image stores can be made of."""

from __future__ import annotations

from typing import Any

from pileus.core.calls import Call, Listed
from pileus.core.commands import command
from pileus.core.errors import InvalidParameter
from pileus.core.listing import ListCommand, page_of

PROVIDERS = {"primary": ("DefaultPrimary",), "image": ("directory", "NFS")}
"""Names of providers by what they provide."""


@command("listStorageProviders")
class ListStorageProviders(ListCommand):
    """List the providers of primary storage (type=primary) or of image stores (type=image)."""

    type: str

    def run(self, call: Call) -> Listed:
        """Return those of the type."""
        kind = self.type.lower()
        if kind not in PROVIDERS:
            raise InvalidParameter(f"parameter type must be one of primary, image; it is {self.type[:64]!r}")
        names = [name for name in PROVIDERS[kind] if (self.keyword or "").lower() in name.lower()]
        found: list[dict[str, Any]] = [{"name": name, "type": kind.upper()} for name in names]
        return page_of(found, self.page, self.pagesize)
