"""Attachments: what hangs on any kind of object (tags, annotations, an icon), put into its answers in one place.

A slice registers a loader for a field of the contract; every answer whose object has this field gets it, with one
query a page and field, whichever command made the answer.  Objects are told apart by their uuid alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection

from pileus.core import contract
from pileus.core.parameters import Entries

Loader = Callable[[Connection, Sequence[str], bool], Mapping[str, Any]]
"""``load(db, uuids, admin)``: the values of those objects that have one; ``admin``: for a root admin."""

TagFilter = Callable[[ColumnElement[Any], Entries], ColumnElement[bool]]
"""``filter(uuid_column, wanted)``: the condition for objects that carry any of the tags."""


Renaming = Callable[[Connection, str, str], None]
"""``rename(db, old, new)``: the object with the uuid ``old`` is called ``new`` from now on."""


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A field that is filled here."""

    field: str
    type: Any  # as the contract writes it: an object may have another field of the same name
    load: Loader
    missing: Any = None  # the value of objects that have none
    asked: str = ""  # the parameter that must be true for it; "" = always


_attachments: list[Attachment] = []
_tag_filters: list[TagFilter] = []
_renamings: list[Renaming] = []


def register(field: str, type_: Any, load: Loader, *, missing: Any = None, asked: str = "") -> None:
    """Register the loader of a field."""
    _attachments.append(Attachment(field=field, type=type_, load=load, missing=missing, asked=asked))


def filter_tags(function: TagFilter) -> None:
    """Register how objects are found by their tags."""
    _tag_filters[:] = [function]


def on_new_uuid(function: Renaming) -> None:
    """Register what follows an object whose uuid changes."""
    _renamings.append(function)


def renamed(db: Connection, old: str, new: str) -> None:
    """Have all that hangs on an object follow it to its new uuid."""
    for rename in _renamings:
        rename(db, old, new)


def tagged(column: ColumnElement[Any], wanted: Entries) -> ColumnElement[bool]:
    """Return the condition for objects (``column``: their uuid) that carry any of the tags."""
    return _tag_filters[0](column, wanted)


def attach(
    db: Connection, object_: str, items: Iterable[dict[str, Any]], *, admin: bool, asked: frozenset[str] = frozenset()
) -> None:
    """Fill the fields of answers that are objects of one kind; ``asked``: the switches that the caller set."""
    fields = contract.load().objects.get(object_)
    if not fields:
        return
    found = [item for item in items if "id" in item]
    uuids = sorted({str(item["id"]) for item in found})
    for attachment in _attachments if uuids else ():
        if fields.get(attachment.field) != attachment.type or (attachment.asked and attachment.asked not in asked):
            continue
        values = attachment.load(db, uuids, admin)
        for item in found:
            value = values.get(str(item["id"]), attachment.missing)
            if value is not None:
                item[attachment.field] = value
