"""Downloads of templates: a job that fetches the file, checks it and makes it ready."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import sqlalchemy as sa
import structlog
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database, outbound, usage
from pileus.core.calls import Call
from pileus.core.errors import InvalidParameter, ResourceUnavailable
from pileus.core.jobs import Job, JobFailed, submit, workflow
from pileus.core.netlists import networks
from pileus.core.services import Services
from pileus.identity.limits import checking
from pileus.identity.limits.types import Kind
from pileus.images import checksums, formats, stores
from pileus.images.settings import LARGEST_IMAGE
from pileus.images.tables import download_certificate, image_store, template, template_copy

log = structlog.get_logger(__name__)

GIB = 1 << 30
_BLOCK = 1 << 20
_PRETENDED_SIZE = 8 * GIB
_DEADLINE = 4 * 3600.0


def begin(call: Call, of: Row[Any], zone: Row[Any], store: Row[Any]) -> int:
    """Record a copy of the template in the store and start its download; returns the copy's internal id."""
    pretended = store.protocol == stores.SIMULATED
    if pretended:
        checking.claim(call.db, of.account_id, {Kind.SECONDARY_STORAGE: _PRETENDED_SIZE})
    copy = database.insert(
        call.db,
        template_copy,
        template_id=of.id,
        store_id=store.id,
        zone_id=zone.id,
        state="Ready" if pretended else "Allocated",
        download_state="DOWNLOADED" if pretended else "NOT_DOWNLOADED",
        percent=100 if pretended else 0,
        virtual_size=_PRETENDED_SIZE if pretended else 0,
        physical_size=_PRETENDED_SIZE if pretended else 0,
        created=database.now(),
    )
    if pretended:
        database.change(call.db, template, of.id, size=_PRETENDED_SIZE)
        usage.record(call.db, use(of, zone.id, "TEMPLATE.CREATE", _PRETENDED_SIZE, _PRETENDED_SIZE))
        return copy
    submit(
        call.db,
        download,
        key=f"template-copy:{copy}",
        arguments={"copy": copy},
        cmd=call.spec.name,
        user_id=call.caller.user_id,
        account_id=of.account_id,
        domain_id=of.domain_id,
        instance_type="Template",
        instance_uuid=of.uuid,
        deadline_seconds=_DEADLINE,
        request=call.request,
        admin=call.caller.admin,
    )
    return copy


def _failed(job: Job, db: Connection, error: JobFailed) -> None:
    """Say on the copy itself why it is not there."""
    database.change(
        db,
        template_copy,
        job.arguments["copy"],
        expect={"state": ("Allocated", "Creating")},
        state="Failed",
        download_state="DOWNLOAD_ERROR",
        error=error.text[:1000],
    )


@workflow("template.download", on_failure=_failed)
def download(job: Job, copy: int) -> None:
    """Fetch the file under a temporary name, check it, give it its name, make it ready."""
    facts = job.commit("begin", lambda db: _begin(db, copy))
    limit = job.services.settings.get(LARGEST_IMAGE) * GIB
    found = job.local("fetch", lambda: _fetch(job, facts, limit))
    job.finish("ready", lambda db: _ready(db, copy, found))


def _begin(db: Connection, copy: int) -> dict[str, Any]:
    row = database.one(db, template_copy, copy)
    of, store = database.one(db, template, row.template_id), database.one(db, image_store, row.store_id)
    changes = {"state": "Creating", "download_state": "DOWNLOAD_IN_PROGRESS"}
    if not database.change(db, template_copy, copy, expect={"state": "Allocated"}, **changes):
        raise InvalidParameter("the template was deleted before its download began")
    return {
        "url": of.url,
        "format": of.format,
        "checksum": of.checksum,
        "file": str(stores.file_of(store, of)),
        "zone": row.zone_id,
        "hypervisor": of.hypervisor,
    }


def _fetch(job: Job, facts: dict[str, Any], limit: int) -> dict[str, Any]:
    target = Path(facts["file"])
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    try:
        blocks = _blocks(job.services, facts, by_admin=job.admin)
        sha256 = _receive(facts, blocks, part, limit, lambda done: job.progress(done, "downloading"))
        inspected = formats.inspect(part, facts["format"])
        size = part.stat().st_size
        part.replace(target)
    except formats.ImageRefused as error:
        raise InvalidParameter(f"the file at {facts['url']} was refused: {error}") from error
    except outbound.RefusedAddressError as error:
        raise InvalidParameter(f"the template may not be fetched from {facts['url']}: {error}") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise ResourceUnavailable(f"the template could not be fetched from {facts['url']}: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return {"sha256": sha256, "size": size, "virtual": inspected.virtual_size}


def _receive(
    facts: dict[str, Any],
    blocks: Iterator[tuple[bytes, int]],
    part: Path,
    limit: int,
    progress: Callable[[float], None],
) -> str:
    """Write the file and return its SHA-256; raises InvalidParameter when it is too large or not the promised one."""
    wanted = checksums.parse(facts["checksum"]) if facts["checksum"] else None
    sha256 = hashlib.sha256()
    asked = hashlib.new(wanted.algorithm, usedforsecurity=False) if wanted else None
    done = 0
    with part.open("wb") as out:
        for block, total in blocks:
            done += len(block)
            if max(done, total) > limit:
                raise InvalidParameter(f"the file at {facts['url']} is larger than {limit} bytes")
            out.write(block)
            sha256.update(block)
            if asked is not None:
                asked.update(block)
            progress(min(done / total, 0.99) if total else 0.0)
    if wanted is not None and asked is not None and asked.hexdigest() != wanted.digest:
        raise InvalidParameter(
            f"the file at {facts['url']} has the {wanted.algorithm} digest {asked.hexdigest()}, "
            f"parameter checksum says {wanted.digest}"
        )
    return sha256.hexdigest()


def _blocks(services: Services, facts: dict[str, Any], *, by_admin: bool) -> Iterator[tuple[bytes, int]]:
    """Yield (block, bytes in all or 0) of what the URL names."""
    parts = urlsplit(str(facts["url"]))
    if parts.scheme == "file":
        file = Path(unquote(parts.path))
        size = file.stat().st_size
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                yield block, size
        return
    allowed = networks(services.settings.get(outbound.INTERNAL_SITES))
    trusted = _trusted(services, facts)
    proxy = services.settings.secret(outbound.PROXY, services.secrets)
    with outbound.download(
        facts["url"], allowed=allowed, trusted=trusted, named_by_admin=by_admin, proxy=proxy
    ) as answer:
        size = int(answer.headers.get("content-length") or 0)
        for block in answer.iter_bytes(_BLOCK):
            yield block, size


def _trusted(services: Services, facts: dict[str, Any]) -> list[str]:
    """Return the certificates by which the zone trusts servers of templates for this hypervisor."""
    known = download_certificate.c
    statement = sa.select(known.certificate).where(
        known.zone_id == facts["zone"], known.hypervisor == facts["hypervisor"]
    )
    with services.database.read() as db:
        return list(db.execute(statement).scalars())


def _ready(db: Connection, copy: int, found: dict[str, Any]) -> dict[str, Any]:
    row = database.one(db, template_copy, copy)
    of = database.one(db, template, row.template_id)
    checking.claim(db, of.account_id, {Kind.SECONDARY_STORAGE: found["size"]})
    changes = {
        "state": "Ready",
        "download_state": "DOWNLOADED",
        "percent": 100,
        "sha256": found["sha256"],
        "physical_size": found["size"],
        "virtual_size": found["virtual"],
        "path": "",
    }
    if not database.change(db, template_copy, copy, expect={"state": "Creating"}, **changes):
        raise InvalidParameter("the template was deleted while it was downloaded")
    usage.record(db, use(of, row.zone_id, "TEMPLATE.CREATE", found["size"], found["virtual"]))
    database.change(db, template, row.template_id, size=found["virtual"])
    return {"success": True}


def use(of: Row[Any], zone_id: int | None, type_: str, size: int, virtual: int) -> usage.Change:
    """Return that a template began or ended to be kept in a zone."""
    return usage.Change(
        type=type_,
        account_id=of.account_id,
        domain_id=of.domain_id,
        zone_id=zone_id,
        resource_id=of.id,
        resource_uuid=of.uuid,
        name=of.name,
        template_id=of.id,
        size=size,
        virtual_size=virtual,
        kind=of.format,
    )


def remove_file(file: Path) -> None:
    """Remove a template's file and what a broken download has left of it."""
    file.unlink(missing_ok=True)
    leftover = file.with_name(f".{file.name}.part")
    if leftover.is_dir():
        shutil.rmtree(leftover)
    leftover.unlink(missing_ok=True)
