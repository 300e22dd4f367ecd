"""Kinds of object of images that a reference can name."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import entities
from pileus.core.calls import Caller
from pileus.identity import sharing
from pileus.images import tables


def may_use_template(db: Connection, caller: Caller, row: Row[Any]) -> bool:
    """Tell whether the caller may deploy from a template: own, of an account that is administered, public or shared."""
    if row.is_public or row.is_featured or entities.owned(db, caller, row):
        return True
    return sharing.given(db, tables.template_permission, row.id, sharing.callers(caller))


def register() -> None:
    """Register the kinds."""
    entities.register("ImageStore", tables.image_store, "image store", use=entities.admin_only)
    entities.register(
        "GuestOSCategory", tables.os_category, "OS category", use=entities.anybody, manage=entities.admin_only
    )
    entities.register("GuestOsMapping", tables.os_mapping, "guest OS mapping", use=entities.admin_only)
    entities.register("GuestOS", tables.os_type, "OS type", use=entities.anybody, manage=entities.admin_only)
    entities.register("Template", tables.template, "template", use=may_use_template, manage=entities.owned)
    entities.register("TemplatePermissions", tables.template, "template", use=entities.owned)
    sharing.register(tables.template_permission)
    entities.register(
        "SecondaryStorageHeuristics", tables.image_selector, "secondary storage selector", use=entities.admin_only
    )
    entities.register(
        "DirectDownloadCertificate", tables.download_certificate, "download certificate", use=entities.admin_only
    )
