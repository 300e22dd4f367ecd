"""kill -9 while an image store is emptied: each file is then where its record says, whole, and nowhere else."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pileus.core.database import Database
from pileus.core.jobs.tables import job
from pileus.images import stores
from pileus.images.tables import image_store, template, template_copy
from tests.api.test_templates import directory_zone, qcow2, register, shown
from tests.kill.harness import Dying, disagreements
from tests.support.cloud import Cloud
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(600)


def furnish(folder: Path, root: Path) -> list[Any]:
    """Make a zone with two stores and two templates in the first; return the call that empties it."""
    with Cloud.start(folder) as cloud:
        zone = directory_zone(cloud, root)
        for name in ("a", "b"):
            made = register(cloud, zone, qcow2(cloud.options.builtin / f"{name}.qcow2"), name=name)["id"]
            until(lambda id_=made: shown(cloud, id_)["isready"], 10)
        (source,) = cloud.list("listImageStores")
        asked: dict[str, Any] = {
            "name": "new",
            "provider": "directory",
            "zoneid": zone["zone"],
            "url": f"file://{root}/new",
        }
        to = cloud.api("addImageStore", **asked)["imagestore"]["id"]
    parameters = {"srcpool": source["id"], "destpools": to, "migrationtype": "Complete"}
    return ["migrateSecondaryStorageData", parameters]


def test_every_boundary(tmp_path: Path) -> None:
    base, root, kept = tmp_path / "base", tmp_path / "stores", tmp_path / "kept"
    call = furnish(base, root)
    root.rename(kept)
    dying = Dying(tmp_path / "log")
    try:
        reached = _death(dying, base, tmp_path, call, None)
        assert len(reached) > 10, reached  # seven steps of two moves, before and after each commit
        for point in reached:
            _death(dying, base, tmp_path, call, point)
    finally:
        dying.close()


def _death(dying: Dying, base: Path, tmp: Path, call: list[Any], point: list[Any] | None) -> list[list[Any]]:
    """Run the call on a copy of all, dying at a point or not at all; check; return what was reached."""
    data = shutil.copytree(base, tmp / "data")
    shutil.copytree(tmp / "kept", tmp / "stores")
    whole = dying.run(data, "", [call], point)
    assert (whole is None) is (point is not None), f"{point} was not reached the second time"
    after = dying.run(data, "", [], None)
    assert after is not None
    assert after["quiet"], f"jobs were still open after death at {point}"
    url = f"sqlite:///{data}/server/pileus.db"
    assert disagreements(url) == [], f"after death at {point}"
    _check(url, tmp / "stores", point)
    for folder in (data, tmp / "stores"):
        shutil.rmtree(folder)
    return whole["reached"] if whole is not None else []


def _check(url: str, root: Path, point: list[Any] | None) -> None:
    database = Database(url)
    try:
        with database.read() as db:
            begun = db.execute(sa.select(job.c.result).where(job.c.cmd == "migrateSecondaryStorageData")).all()
            copies = db.execute(sa.select(template_copy)).all()
            of = {row.id: row for row in db.execute(sa.select(template))}
            at = {row.id: row for row in db.execute(sa.select(image_store))}
    finally:
        database.close()
    records = {stores.file_of(at[copy.store_id], of[copy.template_id]) for copy in copies}
    found = {file for file in root.rglob("*") if file.is_file()}
    assert found == records, f"after death at {point}"
    if begun:  # a death before the call's own commit leaves nothing to do
        assert {at[copy.store_id].name for copy in copies} == {"new"}, f"after death at {point}"
    whole = {file.read_bytes() for file in (root.parent / "kept").rglob("*.qcow2")}
    assert {file.read_bytes() for file in found} == whole
