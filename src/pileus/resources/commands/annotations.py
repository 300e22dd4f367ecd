"""Commands of annotations: notes that people leave on objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database, entities
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter, PermissionDenied
from pileus.core.listing import ListCommand, Query, related
from pileus.core.rendering import date
from pileus.identity.tables import user
from pileus.infrastructure import hosts
from pileus.resources import kinds
from pileus.resources.tables import annotation

SELF, ALL = "self", "all"


def views(db: Connection, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Return annotations as clients see them."""
    users = related(db, user, (row.user_id for row in rows))
    by_name = {kind.name: kind for kind in kinds.all_annotated()}
    names = kinds.names(db, ((by_name[row.entity_type], row.entity_uuid) for row in rows if row.entity_type in by_name))
    return [
        {
            "id": row.uuid,
            "annotation": row.text,
            "entitytype": row.entity_type,
            "entityid": row.entity_uuid,
            "entityname": names.get(row.entity_uuid),
            "userid": users[row.user_id].uuid,
            "username": users[row.user_id].username,
            "adminsonly": row.admins_only,
            "created": date(row.created),
            "removed": date(row.removed),
        }
        for row in rows
    ]


def write(call: Call, entity_type: str, entity_uuid: str, text: str, *, admins_only: bool = False) -> int:
    """Write an annotation of the caller's and return its internal id."""
    return database.insert(
        call.db,
        annotation,
        uuid=database.new_uuid(),
        entity_type=entity_type,
        entity_uuid=entity_uuid,
        text=text,
        user_id=call.caller.user_id,
        admins_only=admins_only,
        created=database.now(),
    )


def _on_host(call: Call, row: Row[Any], text: str) -> None:
    write(call, "HOST", row.uuid, text)


hosts.on_annotation(_on_host)


def _own(call: Call, uuid: str) -> Row[Any]:
    """Return an annotation that the caller may change: the own ones, root admins all."""
    row = call.db.execute(
        sa.select(annotation).where(annotation.c.uuid == uuid.strip().lower(), annotation.c.removed.is_(None))
    ).one_or_none()
    if row is None or (row.admins_only and not call.caller.admin):
        raise entities.unknown("id", uuid, "annotation")
    if row.user_id != call.caller.user_id and not call.caller.admin:
        raise PermissionDenied("an annotation is changed by its author and by root admins only")
    return row


@command("addAnnotation", event="ANNOTATION.CREATE")
class AddAnnotation(Command):
    """Leave a note on an object; root admins can keep it to themselves."""

    annotation: str | None = None
    entitytype: str | None = None
    entityid: str | None = None
    adminsonly: bool = False

    def check(self) -> None:
        """Check that everything is there."""
        for name in ("annotation", "entitytype", "entityid"):
            if not (getattr(self, name) or "").strip():
                raise InvalidParameter(f"parameter {name} is missing")

    def run(self, call: Call) -> dict[str, Any]:
        """Write the annotation."""
        kind = kinds.annotated("entitytype", self.entitytype or "")
        row = kinds.find(call, kind, self.entityid or "", parameter="entityid", manage=False)
        if self.adminsonly and not call.caller.admin:
            raise PermissionDenied("parameter adminsonly is for root admins")
        id_ = write(call, kind.name, row.uuid, self.annotation or "", admins_only=self.adminsonly)
        call.describe(f"annotated {kind.entity.label} {row.uuid}", resource=(kind.name, row.uuid))
        return views(call.db, [database.one(call.db, annotation, id_)])[0]


@command("updateAnnotationVisibility", event="ANNOTATION.CREATE")
class UpdateAnnotationVisibility(Command):
    """Show an annotation to everybody who sees its object, or to root admins only."""

    id: str
    adminsonly: bool

    def run(self, call: Call) -> dict[str, Any]:
        """Change it."""
        row = _own(call, self.id)
        if not call.caller.admin:
            raise PermissionDenied("who sees an annotation is for root admins to say")
        database.change(call.db, annotation, row.id, admins_only=self.adminsonly)
        call.describe("changed who sees an annotation", resource=(row.entity_type, row.entity_uuid))
        return views(call.db, [database.one(call.db, annotation, row.id)])[0]


@command("removeAnnotation", event="ANNOTATION.REMOVE")
class RemoveAnnotation(Command):
    """Remove an annotation."""

    id: str

    def run(self, call: Call) -> dict[str, Any]:
        """Remove it."""
        row = _own(call, self.id)
        database.change(call.db, annotation, row.id, removed=database.now())
        call.describe("removed an annotation", resource=(row.entity_type, row.entity_uuid))
        return views(call.db, [database.one(call.db, annotation, row.id)])[0]


@command("listAnnotations")
class ListAnnotations(ListCommand):
    """List annotations: of an object, or all; everybody but root admins sees the own ones and those of own objects."""

    id: str | None = None
    entitytype: str | None = None
    entityid: str | None = None
    userid: str | None = None
    annotationfilter: str | None = None

    def check(self) -> None:
        """Check the filter and the two parameters of an object."""
        super().check()
        if self.annotationfilter is not None and self.annotationfilter.lower() not in (SELF, ALL):
            raise InvalidParameter(f"parameter annotationfilter must be {SELF} or {ALL}")
        if self.entityid is not None and self.entitytype is None:
            raise InvalidParameter("parameter entitytype is needed beside entityid")

    def query(self, call: Call) -> Query:
        """Return the annotations that match, of objects that are there; the newest first."""
        c = annotation.c
        query = Query(annotation, c.created.desc(), c.id.desc()).equals(c.uuid, self.id)
        query.contains(self.keyword, c.text)
        found = list(kinds.all_annotated())
        if self.entitytype is not None:
            found = [kinds.annotated("entitytype", self.entitytype)]
            query.equals(c.entity_type, found[0].name)
        query.where(kinds.exists(c.entity_type, c.entity_uuid, found))
        if self.entityid is not None:
            row = kinds.find(call, found[0], self.entityid, parameter="entityid", manage=False)
            query.equals(c.entity_uuid, row.uuid)
        elif not call.caller.admin:
            query.equals(c.user_id, call.caller.user_id)
        if self.annotationfilter is not None and self.annotationfilter.lower() == SELF:
            query.equals(c.user_id, call.caller.user_id)
        if self.userid is not None:
            query.where(c.user_id.in_(sa.select(user.c.id).where(user.c.uuid == self.userid.strip().lower())))
        if not call.caller.admin:
            query.where(c.admins_only.is_(False))
        return query

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the annotations."""
        return views(call.db, rows)
