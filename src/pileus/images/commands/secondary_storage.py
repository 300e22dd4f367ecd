"""addSecondaryStorage, the older form of addImageStore."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.parameters import Ref
from pileus.images.commands.stores import AddImageStore


@command("addSecondaryStorage")
class AddSecondaryStorage(Command):
    """Add a store for templates; its name is its URL."""

    url: str
    zoneid: Ref | None = None
    details: dict[str, str] | None = None

    def run(self, call: Call) -> dict[str, Any]:
        """Add it as addImageStore does."""
        newer = AddImageStore()
        newer.provider = "directory" if urlsplit(self.url).scheme.lower() == "file" else "NFS"
        newer.url, newer.zoneid, newer.details = self.url, self.zoneid, self.details
        newer.check()
        return newer.run(call)
