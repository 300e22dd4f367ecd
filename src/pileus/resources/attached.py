"""What the answers of all commands show of tags, annotations, icons and details: loaded once a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection
from sqlalchemy.engine import Row

from pileus.core import attachments
from pileus.core.parameters import Entries
from pileus.core.rendering import date
from pileus.core.statements import Listing
from pileus.identity.projects.tables import project
from pileus.identity.store import display_path
from pileus.identity.tables import account, domain
from pileus.resources import kinds
from pileus.resources.tables import annotation, resource_detail, resource_icon, resource_tag

_WITH_OWNERS: Any = (
    sa.select(
        resource_tag,
        account.c.name.label("account"),
        project.c.name.label("project"),
        project.c.uuid.label("project_uuid"),
        domain.c.uuid.label("domain_uuid"),
        domain.c.name.label("domain"),
        domain.c.path.label("path"),
    )
    .select_from(
        resource_tag.join(account, account.c.id == resource_tag.c.account_id)
        .join(domain, domain.c.id == resource_tag.c.domain_id)
        .outerjoin(project, project.c.account_id == resource_tag.c.account_id)
    )
    .order_by(resource_tag.c.id)
)
_TAGS = Listing(lambda among: _WITH_OWNERS.where(among(resource_tag.c.resource_uuid, "uuids")))
_TAG_ROWS = Listing(lambda among: _WITH_OWNERS.where(among(resource_tag.c.id, "ids")))
_ANNOTATED = Listing(
    lambda among: sa.select(annotation.c.entity_uuid).where(
        among(annotation.c.entity_uuid, "uuids"),
        annotation.c.removed.is_(None),
        among(annotation.c.admins_only, "shown"),
    )
)
_ICONS = Listing(lambda among: sa.select(resource_icon).where(among(resource_icon.c.resource_uuid, "uuids")))
_DETAILS = Listing(
    lambda among: (
        sa.select(resource_detail)
        .where(among(resource_detail.c.resource_uuid, "uuids"), sa.not_(among(resource_detail.c.resource_type, "own")))
        .order_by(resource_detail.c.id)
    )
)
_NOTES = Listing(
    lambda among: (
        sa.select(annotation.c.entity_uuid, annotation.c.text, annotation.c.created)
        .where(
            among(annotation.c.entity_uuid, "uuids"),
            annotation.c.removed.is_(None),
            among(annotation.c.admins_only, "shown"),
        )
        .order_by(annotation.c.created, annotation.c.id)
    )
)


def _follow(db: Connection, old: str, new: str) -> None:
    """Hang on an object's new uuid what hung on the old one."""
    for column in (
        resource_tag.c.resource_uuid,
        resource_icon.c.resource_uuid,
        resource_detail.c.resource_uuid,
        annotation.c.entity_uuid,
    ):
        db.execute(sa.update(column.table).where(column == old).values({column: new}))


def register() -> None:
    """Tell the core how answers are filled and how lists are filtered by tags."""
    attachments.register("tags", ["@ResourceTagResponse"], tags, missing=[])
    attachments.register("hasannotations", "boolean", annotated, missing=False)
    attachments.register("annotation", "string", newest_note)
    attachments.register("lastannotated", "date", last_annotated)
    attachments.register("icon", "@ResourceIconResponse", icons, asked="showicon")
    attachments.register("resourcedetails", "map", details)
    attachments.filter_tags(with_tags)
    attachments.on_new_uuid(_follow)


def with_tags(uuid: ColumnElement[Any], wanted: Entries) -> ColumnElement[bool]:
    """Return the condition for objects that carry any of the tags."""
    any_of = (sa.and_(resource_tag.c.key == tag["key"], resource_tag.c.value == tag["value"]) for tag in wanted)
    return uuid.in_(sa.select(resource_tag.c.resource_uuid).where(sa.or_(*any_of)))


def tags(db: Connection, uuids: Sequence[str], admin: bool) -> dict[str, list[dict[str, Any]]]:
    """Return the tags of objects."""
    del admin
    found: dict[str, list[dict[str, Any]]] = {}
    for row in _TAGS(db, {"uuids": uuids}):
        found.setdefault(row.resource_uuid, []).append(tag_view(row))
    return found


def tag_rows(db: Connection, ids: Sequence[int]) -> list[Row[Any]]:
    """Return tags with their owners' names, in the order of ``ids``."""
    rows = {row.id: row for row in _TAG_ROWS(db, {"ids": ids})}
    return [rows[id_] for id_ in ids if id_ in rows]


def tag_view(row: Row[Any]) -> dict[str, Any]:
    """Return a tag (with its owner's names) as clients see it."""
    return {
        "key": row.key,
        "value": row.value,
        "customer": row.customer,
        "resourcetype": row.resource_type,
        "resourceid": row.resource_uuid,
        "account": row.account if row.project is None else None,
        "project": row.project,
        "projectid": row.project_uuid,
        "domainid": row.domain_uuid,
        "domain": row.domain,
        "domainpath": display_path(row.path),
    }


def annotated(db: Connection, uuids: Sequence[str], admin: bool) -> dict[str, bool]:
    """Tell which objects have annotations that the caller may see."""
    return dict.fromkeys(_ANNOTATED(db, {"uuids": uuids, "shown": _shown(admin)}).scalars(), True)


def newest_note(db: Connection, uuids: Sequence[str], admin: bool) -> dict[str, str]:
    """Return the newest annotations of objects that the caller may see."""
    return {row.entity_uuid: row.text for row in _notes(db, uuids, admin)}


def last_annotated(db: Connection, uuids: Sequence[str], admin: bool) -> dict[str, str | None]:
    """Return when objects were last annotated."""
    return {row.entity_uuid: date(row.created) for row in _notes(db, uuids, admin)}


def _notes(db: Connection, uuids: Sequence[str], admin: bool) -> Sequence[Row[Any]]:
    """Return annotations, the newest of each object last."""
    return _NOTES(db, {"uuids": uuids, "shown": _shown(admin)}).all()


def _shown(admin: bool) -> list[bool]:
    """Return which annotations are shown: those for admins only, or not."""
    return [True, False] if admin else [False]


def icons(db: Connection, uuids: Sequence[str], admin: bool) -> dict[str, dict[str, Any]]:
    """Return the icons of objects."""
    del admin
    return {row.resource_uuid: icon_view(row) for row in _ICONS(db, {"uuids": uuids})}


def icon_view(row: Row[Any]) -> dict[str, Any]:
    """Return an icon as clients see it."""
    return {"base64image": row.image, "resourcetype": row.resource_type, "resourceid": row.resource_uuid}


def details(db: Connection, uuids: Sequence[str], admin: bool) -> dict[str, dict[str, str]]:
    """Return the details of objects whose own rows have no place for them."""
    own = [kind.name for kind in kinds.tagged() if "details" in kind.table.c]
    found: dict[str, dict[str, str]] = {}
    for row in _DETAILS(db, {"uuids": uuids, "own": own}):
        if not admin and not row.display:
            continue
        found.setdefault(row.resource_uuid, {})[row.key] = row.value
    return found
