"""Commands of icons: a small picture for an object."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import sqlalchemy as sa

from pileus.core import database
from pileus.core.calls import Call, Listed, Success
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter, PermissionDenied
from pileus.resources import attached, kinds
from pileus.resources.commands.tags import some
from pileus.resources.tables import resource_icon

_PREFIXES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"\x00\x00\x01\x00")
"""How files of PNG, JPEG, GIF, WebP, BMP and ICO begin."""


def picture(text: str) -> str:
    """Return the base64 text of a picture, checked; a leading ``data:image/…;base64,`` is dropped."""
    body = text.split(",", 1)[1] if text.startswith("data:image/") and "," in text else text
    body = "".join(body.split())
    try:
        content = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidParameter("parameter base64image is no base64 text") from None
    if not content.startswith(_PREFIXES) and b"<svg" not in content[:1024].lower():
        raise InvalidParameter("parameter base64image is no picture: PNG, JPEG, GIF, WebP, BMP, ICO or SVG")
    return body


@command("uploadResourceIcon", event="UPLOAD.RESOURCE.ICON")
class UploadResourceIcon(Command):
    """Give objects of one kind an icon; the old one goes."""

    resourcetype: str
    resourceids: list[str]
    base64image: str

    def check(self) -> None:
        """Check the picture."""
        self.base64image = picture(self.base64image)

    def run(self, call: Call) -> Success:
        """Write the icon."""
        kind = kinds.resource("resourcetype", self.resourcetype, icons=True)
        uuids = [
            kinds.find(call, kind, id_, parameter="resourceids", manage=True).uuid
            for id_ in some("resourceids", self.resourceids)
        ]
        call.db.execute(sa.delete(resource_icon).where(resource_icon.c.resource_uuid.in_(uuids)))
        common = {"resource_type": kind.name, "image": self.base64image, "updated": database.now()}
        call.db.execute(sa.insert(resource_icon), [common | {"resource_uuid": uuid} for uuid in uuids])
        call.describe(f"gave an icon to {len(uuids)} of {kind.name}", resource=(kind.name, uuids[0]))
        return Success()


@command("deleteResourceIcon", event="DELETE.RESOURCE.ICON")
class DeleteResourceIcon(Command):
    """Delete the icons of objects of one kind."""

    resourcetype: str
    resourceids: list[str]

    def run(self, call: Call) -> Success:
        """Delete them."""
        kind = kinds.resource("resourcetype", self.resourcetype, icons=True)
        uuids = [
            kinds.find(call, kind, id_, parameter="resourceids", manage=True).uuid
            for id_ in some("resourceids", self.resourceids)
        ]
        call.db.execute(sa.delete(resource_icon).where(resource_icon.c.resource_uuid.in_(uuids)))
        call.describe(f"deleted the icons of {len(uuids)} of {kind.name}", resource=(kind.name, uuids[0]))
        return Success()


@command("listResourceIcon")
class ListResourceIcon(Command):
    """List the icons of objects that the caller may see."""

    resourcetype: str
    resourceids: list[str]

    def run(self, call: Call) -> Listed:
        """Return those that have one; objects of others are left out."""
        kind = kinds.resource("resourcetype", self.resourcetype, icons=True)
        uuids: list[str] = []
        for id_ in some("resourceids", self.resourceids):
            try:
                uuids.append(kinds.find(call, kind, id_, parameter="resourceids", manage=False).uuid)
            except PermissionDenied:
                continue
        found = [attached.icons(call.db, uuids, call.caller.admin)]
        items: list[dict[str, Any]] = [found[0][uuid] for uuid in uuids if uuid in found[0]]
        return Listed(items, len(items))
