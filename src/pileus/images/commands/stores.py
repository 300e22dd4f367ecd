"""Commands of image stores."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call, Success
from pileus.core.commands import Command, command
from pileus.core.errors import InUse, InvalidParameter
from pileus.core.listing import ListCommand, Query, related
from pileus.core.parameters import Ref
from pileus.images import stores
from pileus.images.commands.providers import PROVIDERS
from pileus.images.tables import image_store, template, template_copy
from pileus.infrastructure.tables import zone

_SHOWN = 3


@command("addImageStore", event="")
class AddImageStore(Command):
    """Add a store for templates: a folder of the management server (url=file:///path)."""

    provider: str
    name: str | None = None
    url: str | None = None
    zoneid: Ref | None = None
    details: dict[str, str] | None = None

    def check(self) -> None:
        """Check that there is a URL, and a provider that there is."""
        known = {name.lower(): name for name in PROVIDERS["image"]}
        if self.provider.lower() not in known:
            raise InvalidParameter(
                f"parameter provider must be one of {', '.join(known.values())}, not {self.provider[:64]!r}"
            )
        self.provider = known[self.provider.lower()]
        if not self.url:
            raise InvalidParameter("parameter url is needed: file:///folder on the management server")

    def run(self, call: Call) -> dict[str, Any]:
        """Add the store; the folder is made when it is missing."""
        url = self.url or ""
        protocol = _protocol(call, url)
        if protocol == stores.DIRECTORY:
            _usable(Path(urlsplit(url).path))
        name = self.name or url
        taken = sa.select(image_store.c.uuid).where(image_store.c.removed.is_(None), image_store.c.name == name)
        if call.db.execute(taken).first():
            raise InvalidParameter(f"parameter name: there is an image store {name[:80]!r} already")
        uuid = database.new_uuid()
        id_ = database.insert(
            call.db,
            image_store,
            uuid=uuid,
            name=name,
            zone_id=self.zoneid.id if self.zoneid is not None else None,
            provider=self.provider,
            protocol=protocol,
            url=url,
            details=self.details or {},
            created=database.now(),
        )
        return view(call.db, [database.one(call.db, image_store, id_)])[0]


def _protocol(call: Call, url: str) -> str:
    scheme = urlsplit(url).scheme.lower()
    if scheme == "file" and urlsplit(url).path.startswith("/"):
        return stores.DIRECTORY
    if scheme in ("nfs", "sim", "simulator") and call.services.plugins["options"].simulator:
        return stores.SIMULATED
    raise InvalidParameter(
        "parameter url must be file:///folder on the management server (nfs:// only for simulations)"
    )


def _usable(folder: Path) -> None:
    """Make the folder; raises InvalidParameter when the server cannot write there."""
    try:
        (folder / "templates").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidParameter(f"parameter url: the folder {folder} cannot be made: {error.strerror}") from error
    # By effective rights: the capability with which a server below a closed folder runs is not a real one.
    if not os.access(folder / "templates", os.W_OK | os.X_OK, effective_ids=True):
        raise InvalidParameter(f"parameter url: the management server may not write to {folder}")


@command("listImageStores")
class ListImageStores(ListCommand):
    """List image stores."""

    id: Ref | None = None
    name: str | None = None
    zoneid: Ref | None = None
    provider: str | None = None
    protocol: str | None = None
    readonly: bool | None = None

    def query(self, call: Call) -> Query:
        """Return the stores that match."""
        columns = image_store.c
        query = Query(image_store).equals(columns.id, self.id).same(columns.name, self.name)
        query.equals(columns.zone_id, self.zoneid).same(columns.provider, self.provider)
        query.equals(columns.read_only, self.readonly)
        if self.protocol is not None:
            query.where(columns.url.istartswith(f"{self.protocol}:", autoescape=True))
        return query.contains(self.keyword, columns.name, columns.provider)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the stores."""
        return view(call.db, rows)


@command("deleteImageStore", event="")
class DeleteImageStore(Command):
    """Delete an image store that holds no templates."""

    id: Ref

    def run(self, call: Call) -> Success:
        """Remove the store; its folder stays."""
        stores.lock(call.db, self.id.id)  # so that no migration moves something in meanwhile
        held = sa.select(template_copy.c.template_id).where(template_copy.c.store_id == self.id.id)
        named = sa.select(template.c.name).where(template.c.id.in_(held)).order_by(template.c.id)
        names = call.db.execute(named).scalars().all()
        if names:
            shown = f"{', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''}"
            raise InUse(f"image store {self.id.name} still holds {len(names)} templates ({shown}): delete these first")
        database.change(call.db, image_store, self.id.id, removed=database.now())
        return Success()


def view(db: database.Connection, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Return the stores as clients see them."""
    zones = related(db, zone, (row.zone_id for row in rows))
    return [{**_fields(row), **_zone(zones.get(row.zone_id))} for row in rows]


def _fields(row: Row[Any]) -> dict[str, Any]:
    total = used = None
    if row.protocol == stores.DIRECTORY and stores.folder(row).exists():
        usage = shutil.disk_usage(stores.folder(row))
        total, used = usage.total, usage.used
    return {
        "id": row.uuid,
        "name": row.name,
        "url": row.url,
        "protocol": urlsplit(str(row.url)).scheme.lower(),
        "providername": row.provider,
        "scope": "ZONE" if row.zone_id is not None else "REGION",
        "readonly": row.read_only,
        "disksizetotal": total,
        "disksizeused": used,
    }


def _zone(row: Row[Any] | None) -> dict[str, Any]:
    return {"zoneid": row.uuid, "zonename": row.name} if row is not None else {}
