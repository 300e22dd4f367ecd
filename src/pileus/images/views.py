"""Templates as clients see them: one object a zone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core.listing import related
from pileus.core.rendering import date
from pileus.identity import store as identity
from pileus.identity.tables import user_data
from pileus.images.tables import os_type, template
from pileus.infrastructure.tables import zone

_STATUS = {
    "DOWNLOADED": "Download Complete",
    "NOT_DOWNLOADED": "",
    "DOWNLOAD_ERROR": "Download failed",
}


def templates(db: Connection, copies: Sequence[Row[Any]], *, admin: bool) -> list[dict[str, Any]]:
    """Return the copies of templates (rows of template_copy) as clients see them."""
    of = related(db, template, (copy.template_id for copy in copies))
    zones = related(db, zone, (copy.zone_id for copy in copies))
    linked = related(db, user_data, (row.user_data_id for row in of.values()))
    types = related(db, os_type, (row.os_type_id for row in of.values()))
    owners = identity.owners(db, of.values())
    return [
        {
            **_template(of[copy.template_id]),
            **_copy(copy, admin=admin),
            **identity.owner_fields(owners.get(of[copy.template_id].account_id)),
            **_owner(owners.get(of[copy.template_id].account_id)),
            **_named("zone", zones.get(copy.zone_id)),
            **_user_data(of[copy.template_id], linked),
            **_named("ostype", types.get(of[copy.template_id].os_type_id)),
        }
        for copy in copies
    ]


def _template(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.uuid,
        "name": row.name,
        "displaytext": row.display_text,
        "ispublic": row.is_public,
        "isfeatured": row.is_featured,
        "isextractable": row.is_extractable,
        "isdynamicallyscalable": row.dynamically_scalable,
        "passwordenabled": row.password_enabled,
        "sshkeyenabled": row.ssh_key_enabled,
        "requireshvm": row.requires_hvm,
        "bits": row.bits,
        "arch": row.architecture,
        "format": row.format,
        "hypervisor": row.hypervisor,
        "templatetype": row.type,
        "templatetag": row.tag,
        "checksum": row.checksum,
        "crossZones": False,
        "directdownload": False,
        "deployasis": False,
        "forcks": False,
        "details": row.details or None,
        "created": date(row.created),
        "removed": date(row.removed),
        "url": row.url,
    }


def _copy(row: Row[Any], *, admin: bool) -> dict[str, Any]:
    ready = row.state == "Ready"
    status = _STATUS.get(row.download_state, f"{row.percent}% Downloaded")
    if row.download_state == "DOWNLOAD_ERROR":
        status = row.error or status
    return {
        "isready": ready,
        "status": status if admin or not ready else "Download Complete",
        "size": row.virtual_size if ready else None,
        "physicalsize": row.physical_size if ready else None,
        "downloaddetails": [{"downloadState": row.download_state, "downloadPercent": str(row.percent)}]
        if admin
        else None,
    }


def _owner(found: identity.Owner | None) -> dict[str, Any]:
    return {"accountid": found[0].uuid} if found is not None else {}


def _user_data(row: Row[Any], linked: dict[int, Row[Any]]) -> dict[str, Any]:
    found = linked.get(row.user_data_id)
    if found is None:
        return {}
    return {
        "userdataid": found.uuid,
        "userdataname": found.name,
        "userdataparams": found.params,
        "userdatapolicy": row.user_data_policy,
    }


def _named(prefix: str, row: Row[Any] | None) -> dict[str, Any]:
    return {f"{prefix}id": row.uuid, f"{prefix}name": row.name} if row is not None else {}
