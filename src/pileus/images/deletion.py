"""Deletion of templates: the record goes at once, the files by a job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database, usage
from pileus.core.errors import InUse, InvalidParameter
from pileus.core.jobs import Job, workflow
from pileus.identity import sharing
from pileus.images import downloads, stores
from pileus.images.tables import image_store, template, template_copy, template_permission

Users = Callable[[Connection, int, int | None], str | None]
"""Tells what uses a template (internal id) in a zone (None: in any), for people; None when nothing does."""

_users: list[Users] = []


def in_use(check: Users) -> Users:
    """Register a check of a later slice for what uses a template."""
    _users.append(check)
    return check


def mark(db: Connection, of: Row[Any], zone: Row[Any] | None, *, forced: bool) -> None:
    """Take the copies out of use; raises InUse (unless forced) or InvalidParameter."""
    zone_id = zone.id if zone is not None else None
    if not forced:
        for check in _users:
            text = check(db, of.id, zone_id)
            if text:
                raise InUse(
                    f"template {of.name} is used by {text}; forced=true deletes it all the same, and they live on"
                )
    copies = db.execute(_chosen(sa.select(template_copy), of.id, zone_id).where(template_copy.c.state == "Ready"))
    sizes = [(row.zone_id, "TEMPLATE.DELETE", row.physical_size, row.virtual_size) for row in copies]
    usage.record_all(db, [downloads.use(of, *each) for each in sizes])
    changed = db.execute(_chosen(sa.update(template_copy), of.id, zone_id).values(state="Destroying")).rowcount
    if not changed:
        raise InvalidParameter(f"template {of.name} is not in the zone that parameter zoneid names")
    left = sa.select(template_copy.c.id).where(
        template_copy.c.template_id == of.id, template_copy.c.state != "Destroying"
    )
    if db.execute(left.limit(1)).first() is None:
        database.change(db, template, of.id, state="Inactive", removed=database.now())
        sharing.revoke(db, template_permission, of.id)


def _chosen(statement: Any, template_id: int, zone_id: int | None) -> Any:
    statement = statement.where(template_copy.c.template_id == template_id)
    return statement if zone_id is None else statement.where(template_copy.c.zone_id == zone_id)


@workflow("template.delete")
def delete(job: Job, template_id: int, zone_id: int | None) -> None:
    """Remove the files, then the copies' rows."""
    files = job.commit("files", lambda db: _files(db, template_id))
    job.local("remove", lambda: _remove(files))
    job.finish("done", lambda db: _forget(db, template_id))


def of_account(job: Job, account_id: int) -> None:
    """Delete an account's templates; machines of others that were made from them live on."""

    def marked(db: Connection) -> list[int]:
        own = template.c.account_id == account_id, template.c.removed.is_(None)
        found = db.execute(sa.select(template).where(*own).order_by(template.c.id)).all()
        for row in found:
            if db.execute(_chosen(sa.select(template_copy.c.id), row.id, None).limit(1)).first() is not None:
                mark(db, row, None, forced=True)
            else:  # it was never in any zone
                database.change(db, template, row.id, state="Inactive", removed=database.now())
        return [row.id for row in found]

    for id_ in job.commit("templates", marked):
        files = job.commit(f"template-files/{id_}", lambda db, id_=id_: _files(db, id_))
        job.local(f"template-remove/{id_}", lambda files=files: _remove(files))
        job.commit(f"template-gone/{id_}", lambda db, id_=id_: _forget(db, id_))


def _files(db: Connection, template_id: int) -> list[str]:
    of = database.one(db, template, template_id)
    found = db.execute(
        sa.select(image_store)
        .join(template_copy, template_copy.c.store_id == image_store.c.id)
        .where(template_copy.c.template_id == template_id, template_copy.c.state == "Destroying")
    ).all()
    return [str(stores.file_of(store, of)) for store in found if store.protocol == stores.DIRECTORY]


def _remove(files: list[str]) -> None:
    for file in files:
        downloads.remove_file(Path(file))


def _forget(db: Connection, template_id: int) -> dict[str, Any]:
    db.execute(
        sa.delete(template_copy).where(
            template_copy.c.template_id == template_id, template_copy.c.state == "Destroying"
        )
    )
    return {"success": True}
