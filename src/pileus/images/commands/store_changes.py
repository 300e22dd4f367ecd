"""updateImageStore, and migrateSecondaryStorageData, which moves templates between image stores."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InUse, InvalidParameter
from pileus.core.jobs import Submission
from pileus.core.parameters import Ref
from pileus.images import migration, moves
from pileus.images.commands import stores
from pileus.images.tables import image_store, template_copy
from pileus.infrastructure import model

_DAY = 86400.0


@command("updateImageStore", event="IMAGE.STORE.ACCESS.UPDATED")
class UpdateImageStore(Command):
    """Rename an image store, or close it for new templates (readonly=true) and open it again."""

    id: Ref
    name: str | None = None
    readonly: bool | None = None

    def check(self) -> None:
        """Check the name's size."""
        if self.name is not None:
            self.name = self.name.strip()
            if not self.name or len(self.name) > 255:
                raise InvalidParameter("parameter name must have 1 to 255 characters")

    def run(self, call: Call) -> dict[str, Any]:
        """Change what was passed."""
        columns = image_store.c
        if self.name is not None:
            taken = sa.select(columns.id).where(
                columns.removed.is_(None), columns.name == self.name, columns.id != self.id.id
            )
            if call.db.execute(taken).first():
                raise InvalidParameter(f"parameter name: there is an image store {self.name[:80]!r} already")
            database.change(call.db, image_store, self.id.id, name=self.name)
        if self.readonly is not None:
            database.change(call.db, image_store, self.id.id, read_only=self.readonly)
        row = database.one(call.db, image_store, self.id.id)
        call.describe(f"changed image store {row.name}", resource=("ImageStore", row.uuid))
        return stores.view(call.db, [row])[0]


@command("migrateSecondaryStorageData", event="IMAGE.STORE.MIGRATE.DATA")
class MigrateSecondaryStorageData(Command):
    """Move templates from an image store to others: all (Complete), or until they are about equally full (Balance)."""

    srcpool: Ref
    destpools: list[Ref]
    migrationtype: str = moves.BALANCE

    def check(self) -> None:
        """Check the word."""
        self.migrationtype = model.one_of("migrationtype", self.migrationtype, (moves.COMPLETE, moves.BALANCE))

    def run(self, call: Call) -> Submission:
        """Check that the stores can take one another's files; Complete closes the source for new templates."""
        targets = {row.id: row for row in self.destpools}
        if not targets:
            raise InvalidParameter("parameter destpools must name at least one image store")
        for row in targets.values():
            self._suits(row)
        if self.migrationtype == moves.COMPLETE:
            self._settled(call)
            database.change(call.db, image_store, self.srcpool.id, read_only=True)
        names = ", ".join(row.name for row in targets.values())
        call.describe(f"migrating data of image store {self.srcpool.name} to {names[:400]}")
        return call.submit(
            migration.migrate,
            key=migration.KEY,
            instance=("ImageStore", self.srcpool.uuid),
            deadline_seconds=_DAY,
            source=self.srcpool.id,
            targets=sorted(targets),
            policy=self.migrationtype,
        )

    def _suits(self, to: Row[Any]) -> None:
        source = self.srcpool
        if to.id == source.id:
            raise InvalidParameter(f"parameter destpools: image store {to.name} is the one of parameter srcpool")
        if to.read_only:
            raise InvalidParameter(f"parameter destpools: image store {to.name} is read-only; open it first")
        if to.protocol != source.protocol:
            raise InvalidParameter(f"parameter destpools: image store {to.name} is of another kind than {source.name}")
        if source.zone_id is not None and to.zone_id not in (None, source.zone_id):
            raise InvalidParameter(f"parameter destpools: image store {to.name} is of another zone than {source.name}")

    def _settled(self, call: Call) -> None:
        columns = template_copy.c
        open_ = sa.select(sa.func.count()).where(
            columns.store_id == self.srcpool.id, columns.state.in_(("Allocated", "Creating"))
        )
        count = call.db.execute(open_).scalar_one()
        if count:
            raise InUse(
                f"image store {self.srcpool.name} is still downloading {count} templates; "
                "close it by updateImageStore readonly=true, and migrate when they are there"
            )
