"""Serving templates to hosts, over the listener for agents."""

from __future__ import annotations

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from pileus.core import agent_edge
from pileus.core.parameters import is_uuid
from pileus.core.services import Services
from pileus.images import stores
from pileus.images.tables import image_store, template, template_copy


async def serve(services: Services, request: Request) -> Response:
    """Answer GET /images/{uuid} with the template's file (whole or a range)."""
    uuid = request.path_params["uuid"]
    file = await run_in_threadpool(_find, services, uuid) if is_uuid(uuid) else None
    if file is None:
        return JSONResponse({"error": f"no image store of this server holds an image {uuid[:40]!r}"}, 404)
    return FileResponse(file, media_type="application/octet-stream")


def _find(services: Services, uuid: str) -> str | None:
    with services.database.read() as db:
        found = db.execute(sa.select(template).where(template.c.uuid == uuid)).one_or_none()
        if found is None:
            return None
        for store in db.execute(
            sa.select(image_store)
            .join(template_copy, template_copy.c.store_id == image_store.c.id)
            .where(template_copy.c.template_id == found.id, template_copy.c.state == "Ready")
        ):
            file = stores.file_of(store, found)
            if store.protocol == stores.DIRECTORY and file.is_file():
                return str(file)
    return None


def register() -> None:
    """Register the route."""
    agent_edge.register("/images/{uuid}", serve, methods=["GET", "HEAD"])
