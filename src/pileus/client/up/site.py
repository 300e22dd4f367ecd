"""What the steps of `up` share: the folder, the client, and the ids found on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pileus.client.api import Answer, Api
from pileus.client.folder import Cloud, Folder, FolderError


@dataclass(kw_only=True)
class Site:
    """One cloud while it is brought up."""

    folder: Folder
    cloud: Cloud
    api: Api
    ids: dict[str, str] = field(default_factory=dict[str, str])
    page: str = ""
    machine: Answer = field(default_factory=dict[str, Any])

    def find(self, command: str, name: str, **filters: Any) -> Answer | None:
        """Return the object with exactly this name, or None."""
        found = self.api.list(command, name=name, listall=True, **filters)
        return next((item for item in found if item.get("name") == name), None)

    def ensure(
        self, subject: str, command: str, name: str, *, find: str, filters: dict[str, Any], **make: Any
    ) -> Answer:
        """Find an object by its name or make it, and remember its id under the subject."""
        found = self.find(find, name, **filters) or self.api.run(command, name=name, **make)
        self.ids[subject] = str(found["id"])
        return found


def only(found: list[Answer], what: str) -> Answer:
    """Return the first object of a list; FolderError naming what is missing when it is empty."""
    if not found:
        raise FolderError(f"the server has no {what}: is it of another version than this client?")
    return found[0]
