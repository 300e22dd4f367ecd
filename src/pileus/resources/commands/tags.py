"""Commands of tags: words that people put on their objects, to find them again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core import database, instant
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter
from pileus.core.listing import ListCommand, OwnedListCommand, Query, page_of
from pileus.core.parameters import Entries
from pileus.resources import attached, kinds
from pileus.resources.tables import resource_tag
from pileus.storage.tables import storage_pool

MOST = 500
"""Objects that one call may name."""


def pairs(tags: Entries | None) -> dict[str, str | None]:
    """Return tags as key -> value (None where no value is said), checked."""
    found: dict[str, str | None] = {}
    for entry in tags or []:
        lowered = {name.lower(): value for name, value in entry.items()}
        key = lowered.get("key", "").strip()
        if not key or set(lowered) - {"key", "value"}:
            raise InvalidParameter("parameter tags must be given as tags[0].key=a&tags[0].value=b")
        if max(len(key), len(lowered.get("value", ""))) > 255:
            raise InvalidParameter("parameter tags: keys and values have at most 255 characters")
        if key in found:
            raise InvalidParameter(f"parameter tags: key {key[:64]!r} is there twice")
        found[key] = lowered.get("value")
    return found


def some(parameter: str, ids: Sequence[str]) -> list[str]:
    """Return the ids that a parameter names, each once."""
    found = list(dict.fromkeys(text.strip() for text in ids if text.strip()))
    if not found or len(found) > MOST:
        raise InvalidParameter(f"parameter {parameter} must name between 1 and {MOST} objects")
    return found


def owner_of(call: Call, row: Row[Any]) -> tuple[int, int]:
    """Return account and domain of an object; the caller's where it belongs to nobody."""
    account_id = getattr(row, "account_id", None)
    if account_id is not None:
        return account_id, row.domain_id
    return call.caller.account_id, call.caller.domain_id


@command("createTags", event="CREATE_TAGS")
class CreateTags(Command):
    """Put tags on objects of one kind; an object has a key only once."""

    resourcetype: str
    resourceids: list[str]
    tags: Entries
    customer: str | None = None

    def check(self) -> None:
        """Check that there are tags with values."""
        missing = [key for key, value in pairs(self.tags).items() if not value]
        if missing:
            raise InvalidParameter(f"parameter tags: key {missing[0][:64]!r} has no value")

    def run(self, call: Call) -> Any:
        """Write the tags."""
        kind = kinds.resource("resourcetype", self.resourcetype)
        tags = pairs(self.tags)
        rows = [
            kinds.find(call, kind, id_, parameter="resourceids", manage=True)
            for id_ in some("resourceids", self.resourceids)
        ]
        taken = call.db.execute(
            sa.select(resource_tag.c.key).where(
                resource_tag.c.resource_uuid.in_([row.uuid for row in rows]), resource_tag.c.key.in_(tags)
            )
        ).first()
        if taken is not None:
            raise InvalidParameter(
                f"parameter tags: key {taken.key!r} is on one of the objects already; delete it first"
            )
        moment = database.now()
        values: list[dict[str, Any]] = []
        for row in rows:
            account_id, domain_id = owner_of(call, row)
            values += [
                {
                    "resource_type": kind.name,
                    "resource_uuid": row.uuid,
                    "key": key,
                    "value": value,
                    "customer": self.customer,
                    "account_id": account_id,
                    "domain_id": domain_id,
                    "created": moment,
                }
                for key, value in tags.items()
            ]
        call.db.execute(sa.insert(resource_tag), values)
        call.describe(f"creating tags {', '.join(tags)}", resource=(kind.name, rows[0].uuid))
        return instant.submit(call, {"success": True}, instance=(kind.name, rows[0].uuid))


@command("deleteTags", event="DELETE_TAGS")
class DeleteTags(Command):
    """Take tags off objects: the keys (with these values) that are named, or all."""

    resourcetype: str
    resourceids: list[str]
    tags: Entries | None = None

    def run(self, call: Call) -> Any:
        """Delete the tags; all that are named must be there."""
        kind = kinds.resource("resourcetype", self.resourcetype)
        wanted = pairs(self.tags)
        rows = [
            kinds.find(call, kind, id_, parameter="resourceids", manage=True)
            for id_ in some("resourceids", self.resourceids)
        ]
        c = resource_tag.c
        condition = c.resource_uuid.in_([row.uuid for row in rows])
        if wanted:
            condition &= sa.or_(
                *(
                    (c.key == key) if value is None else sa.and_(c.key == key, c.value == value)
                    for key, value in wanted.items()
                )
            )
        if not call.db.execute(sa.delete(resource_tag).where(condition)).rowcount:
            raise InvalidParameter("parameter tags: none of the objects has such a tag")
        call.describe(f"deleting tags {', '.join(wanted) or '(all)'}", resource=(kind.name, rows[0].uuid))
        return instant.submit(call, {"success": True}, instance=(kind.name, rows[0].uuid))


@command("listTags")
class ListTags(OwnedListCommand):
    """List the tags of objects that the caller may see."""

    resourcetype: str | None = None
    resourceid: str | None = None
    key: str | None = None
    value: str | None = None
    customer: str | None = None

    def query(self, call: Call) -> Query:
        """Return the tags that match, of objects that are there."""
        c = resource_tag.c
        query = Query(resource_tag)
        found = list(kinds.tagged())
        if self.resourcetype is not None:
            found = [kinds.resource("resourcetype", self.resourcetype)]
            query.equals(c.resource_type, found[0].name)
        query.where(kinds.exists(c.resource_type, c.resource_uuid, found))
        query.equals(c.key, self.key).equals(c.value, self.value).equals(c.customer, self.customer)
        query.contains(self.keyword, c.key, c.value)
        if self.resourceid is not None:
            reference = self.resourceid.strip().lower()
            if reference.isdigit() and self.resourcetype is not None:
                reference = kinds.find(call, found[0], reference, parameter="resourceid", manage=False).uuid
            query.equals(c.resource_uuid, reference)
        return self.owned(call, query, by_id=self.resourceid)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return the tags."""
        return [attached.tag_view(row) for row in attached.tag_rows(call.db, [row.id for row in rows])]


@command("listStorageTags")
class ListStorageTags(ListCommand):
    """List the storage tags of primary storage: one entry a pool and tag."""

    def query(self, call: Call) -> Query:
        """Return the pools that have tags."""
        return Query(storage_pool).where(storage_pool.c.tags != "").contains(self.keyword, storage_pool.c.tags)

    def run(self, call: Call) -> Any:
        """Split the tags of all pools, then take the page."""
        rows = call.db.execute(sa.select(storage_pool).where(*self.query(call).conditions).order_by(storage_pool.c.id))
        found = [
            {"id": row.uuid, "name": tag, "poolid": row.id}
            for row in rows
            for tag in row.tags.strip(",").split(",")
            if self.keyword is None or self.keyword.lower() in tag.lower()
        ]
        return page_of(found, self.page, self.pagesize)
