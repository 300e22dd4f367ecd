"""Migration of image stores: a job that moves templates' files to other stores, one after another.

Each move has three steps: the file is copied under a temporary name, checked, and given its name; the record is
switched in one guarded transaction, so that from then on hosts fetch it from the new store; the file that nobody needs
any more is removed.  A server that dies in between leaves at most a file that the next one writes anew or removes; a
job that is ended early removes what no record names.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import alerts, database
from pileus.core.jobs import Job, undo, workflow
from pileus.images import downloads, moves, rooms, stores
from pileus.images.settings import IMBALANCE
from pileus.images.tables import image_store, template, template_copy

log = structlog.get_logger(__name__)

_BLOCK = 1 << 20
KEY = "image-store-data"
"""Migrations run one after another: each plans with what the one before has left."""


@workflow("image_store.migrate")
def migrate(job: Job, source: int, targets: list[int], policy: str) -> None:
    """Plan the moves, make them, and tell what has become of them."""
    threshold = job.services.settings.get(IMBALANCE)
    plan = job.commit("plan", lambda db: _plan(db, source, targets, policy, threshold), undo="image_store.tidy")
    ends: list[dict[str, Any]] = []
    for number, move in enumerate(plan["moves"]):
        job.progress(number / len(plan["moves"]), f"moving {move['name']}")
        why = job.local(f"copy/{number}", lambda move=move: _copy(move))
        end = job.commit(f"switch/{number}", lambda db, move=move, why=why: _switch(db, source, move, why))
        job.local(f"remove/{number}", lambda end=end: _remove([end["file"]]))
        ends.append(end)
    job.finish("done", lambda db: _told(db, job, plan, ends))


@undo("image_store.tidy")
def tidy(job: Job, output: dict[str, Any]) -> None:
    """Remove the files, at either end of a move, that no record names."""
    source = int(job.arguments["source"])
    files = job.commit("needless", lambda db: _needless(db, source, output["moves"]))
    job.local("tidy", lambda: _remove(files))


def _needless(db: Connection, source: int, planned: list[dict[str, Any]]) -> list[str]:
    ends = [
        (store, move["template"], move[file])
        for move in planned
        for store, file in ((source, "old"), (move["to"], "new"))
    ]
    return [file for store, of, file in ends if file is not None and not _holds(db, store, of)]


def _holds(db: Connection, store: int, of: int) -> bool:
    columns = template_copy.c
    return (
        db.execute(sa.select(columns.id).where(columns.template_id == of, columns.store_id == store)).first()
        is not None
    )


def _plan(db: Connection, source: int, targets: list[int], policy: str, threshold: float) -> dict[str, Any]:
    origin = database.one(db, image_store, source)
    others = db.execute(
        sa.select(image_store).where(
            image_store.c.id.in_(targets), image_store.c.removed.is_(None), image_store.c.read_only.is_(sa.false())
        )
    ).all()
    copies = db.execute(
        sa.select(template_copy).where(template_copy.c.store_id == source, template_copy.c.state == "Ready")
    ).all()
    of = {
        row.id: row for row in db.execute(sa.select(template).where(template.c.id.in_([c.template_id for c in copies])))
    }
    columns = template_copy.c
    others_hold = sa.select(columns.store_id, columns.template_id).where(columns.store_id.in_([o.id for o in others]))
    has = {(row.store_id, row.template_id) for row in db.execute(others_hold)}
    items = [
        moves.Item(
            copy.id,
            copy.physical_size,
            frozenset(
                store.id
                for store in others
                if store.zone_id in (None, copy.zone_id) and (store.id, copy.template_id) not in has
            ),
        )
        for copy in copies
    ]
    chosen, stuck = moves.planned(policy, source, items, rooms.rooms(db, [origin, *others]), threshold)
    by_id, by_store = {copy.id: copy for copy in copies}, {store.id: store for store in others}
    planned = [_move(origin, by_store[each.to], by_id[each.copy], of) for each in chosen]
    return {"moves": planned, "stuck": stuck, "origin": origin.name}


def _move(origin: Row[Any], to: Row[Any], copy: Row[Any], of: dict[int, Row[Any]]) -> dict[str, Any]:
    row = of[copy.template_id]
    files = origin.protocol == stores.DIRECTORY
    return {
        "copy": copy.id,
        "template": copy.template_id,
        "name": row.name,
        "to": to.id,
        "sha256": copy.sha256,
        "old": str(stores.file_of(origin, row)) if files else None,
        "new": str(stores.file_of(to, row)) if files else None,
    }


def _copy(move: dict[str, Any]) -> str | None:
    """Copy the file and check it; return why that could not be done, or None."""
    if move["new"] is None:
        return None
    target = Path(move["new"])
    part = target.with_name(f".{target.name}.part")
    digest = hashlib.sha256()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with Path(move["old"]).open("rb") as source, part.open("wb") as out:
            while block := source.read(_BLOCK):
                digest.update(block)
                out.write(block)
            out.flush()
            os.fsync(out.fileno())
        if digest.hexdigest() != move["sha256"]:
            return f"its file {move['old']} is damaged: the digest is {digest.hexdigest()}, not {move['sha256']}"
        part.replace(target)
        _sync(target.parent)
    except OSError as error:
        return f"its file could not be copied to {target}: {error.strerror or error}"
    finally:
        part.unlink(missing_ok=True)
    return None


def _sync(folder: Path) -> None:
    """Make a new name in the folder last."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _switch(db: Connection, source: int, move: dict[str, Any], why: str | None) -> dict[str, Any]:
    """Let the record name the new store where the copy is still the old one's; tell which file is needless now.

    ``why``: for what cause the file was not copied.  A template that was deleted meanwhile is no failure.
    """
    to = stores.lock(db, move["to"])
    if why is None and (to.removed is not None or to.read_only):
        why = f"image store {to.name} was closed meanwhile"
    here = {"store_id": source, "state": "Ready"}
    if why is None and database.change(db, template_copy, move["copy"], expect=here, store_id=move["to"]):
        return {"moved": True, "file": move["old"], "why": None}
    copy = database.get(db, template_copy, move["copy"])
    there = copy is not None and copy.store_id == source and copy.state == "Ready"
    needless = None if _holds(db, move["to"], move["template"]) else move["new"]
    return {"moved": False, "file": needless, "why": f"{move['name']}: {why}" if there else None}


def _remove(files: Sequence[str | None]) -> None:
    for file in files:
        if file is not None:
            downloads.remove_file(Path(file))


def _told(db: Connection, job: Job, plan: dict[str, Any], ends: list[dict[str, Any]]) -> dict[str, Any]:
    columns = template_copy.c
    policy, failures = job.arguments["policy"], [end["why"] for end in ends if end["why"]]
    held = sa.select(sa.func.count()).select_from(template_copy).where(columns.store_id == job.arguments["source"])
    left = db.execute(held).scalar_one()
    text = f"{sum(end['moved'] for end in ends)} of {len(ends)} templates were moved from {plan['origin']}"
    if plan["stuck"]:
        text += f"; for {plan['stuck']} more no named store has room, serves their zone and lacks them"
    if failures:
        text += f"; not moved: {'; '.join(failures)}"
        alerts.record(db, "ALERT.STORAGE.MISC", text)
    success = not failures and not (policy == moves.COMPLETE and left)
    return {"migrationtype": policy, "message": text[:2000], "success": success}
