"""The list engine: filters, keyword, scoping, paging and exact counts, in a constant number of queries a page.

A list command states its conditions on one main table and turns a page of rows into answers; what it needs of other
tables it loads once for the whole page (``related``).  The count and the page never join.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, cast

import msgspec
import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection, Table
from sqlalchemy.engine import Row

from pileus.core import attachments, counters, entities
from pileus.core.calls import Call, Caller, Listed
from pileus.core.commands import Command
from pileus.core.errors import InvalidParameter, PermissionDenied
from pileus.core.parameters import Entries, Ref, RefOrAll
from pileus.core.settings import declare
from pileus.core.statements import Listing, select

MAX_PAGE = 500
LARGEST = declare(
    "default.page.size",
    int,
    MAX_PAGE,
    "objects in a page of a list that was asked for without a size, and at most in one",
    minimum=1,
    maximum=100_000,
)


class Query:
    """Conditions and order on one main table."""

    def __init__(self, table: Table, *order: ColumnElement[Any]) -> None:
        self.table = table
        self.conditions: list[ColumnElement[bool]] = []
        self.order: Sequence[ColumnElement[Any]] = order or (table.c.id,)
        self.uuid: ColumnElement[Any] | None = table.c.get("uuid")  # of the object that a row stands for
        self._alive = table.c.removed.is_(None) if "removed" in table.c else None
        if self._alive is not None:
            self.conditions.append(self._alive)

    def counted(self, db: Connection) -> int | None:
        """Return how many rows there are where the table's counters know it, by accounts alone; else None."""
        return counters.live(db, self.table, [c for c in self.conditions if c is not self._alive])

    def seek(self, db: Connection, offset: int) -> tuple[int, int] | None:
        """Return near which id the row with this number is, where the table's counters know it; else None."""
        everything = len(self.conditions) == 1 and self.conditions[0] is self._alive
        if not everything or len(self.order) != 1 or self.order[0] is not self.table.c.id:
            return None
        return counters.seek(db, self.table, offset)

    def where(self, *conditions: ColumnElement[bool]) -> Query:
        """Add conditions."""
        self.conditions.extend(conditions)
        return self

    def equals(self, column: ColumnElement[Any], value: Any) -> Query:
        """Filter by equality when there is a value (a reference's row counts as its id, a list as any of them)."""
        if value is None or value == []:
            return self
        if isinstance(value, list):
            return self.where(column.in_([_plain(item) for item in cast(list[Any], value)]))
        return self.where(column == _plain(value))

    def same(self, column: ColumnElement[Any], value: str | None) -> Query:
        """Filter by text, ignoring case."""
        return self if value is None else self.where(sa.func.lower(column) == value.lower())

    def contains(self, value: str | None, *columns: ColumnElement[Any]) -> Query:
        """Filter by a part of any of the columns, ignoring case."""
        if not value:
            return self
        return self.where(sa.or_(*(column.icontains(value, autoescape=True) for column in columns)))

    def tagged(self, wanted: Entries | None) -> Query:
        """Filter by tags: objects that carry any of them (as CloudStack does)."""
        if not wanted:
            return self
        for entry in wanted:
            if set(entry) != {"key", "value"}:
                raise InvalidParameter("parameter tags must be given as tags[0].key=a&tags[0].value=b")
        if self.uuid is None:
            raise TypeError(f"rows of {self.table.name} stand for nothing that can carry tags")
        return self.where(attachments.tagged(self.uuid, wanted))


def _plain(value: Any) -> Any:
    return value.id if isinstance(value, Row) else value


class ListCommand(Command):
    """Base of list commands."""

    page: int | None = None
    pagesize: int | None = None
    keyword: str | None = None
    tags: Entries | None = None
    showicon: bool = False
    retrieveonlyresourcecount: bool = False

    def query(self, call: Call) -> Query:
        """Return conditions and order."""
        raise NotImplementedError

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Turn a page of rows into answers."""
        raise NotImplementedError

    def wanted_tags(self) -> Entries | None:
        """Return the tags of which the objects must carry one (nothing where the parameter means something else)."""
        return self.tags

    def check(self) -> None:
        """Check that page and pagesize go together and are in range."""
        check_paging(self.page, self.pagesize)

    def complete(self, services: Any) -> None:
        """Check the size of the page against the setting, which is also that of a page without one."""
        most = services.settings.get(LARGEST)
        if self.pagesize is None:
            self.pagesize = most
        elif self.pagesize > most:
            raise InvalidParameter(f"parameter pagesize must be between 1 and {most}, or -1 for no limit")

    def run(self, call: Call) -> Listed:
        """Count, fetch the page, render it."""
        query = self.query(call).tagged(self.wanted_tags())
        if self.retrieveonlyresourcecount:
            return Listed([], fetch(call.db, query, 1, 1)[1])
        rows, count = fetch(call.db, query, self.page, self.pagesize)
        return Listed(self.view(call, rows), count)


class OwnedListCommand(ListCommand):
    """Base of lists of objects that belong to accounts."""

    account: str | None = None
    domainid: Ref | None = None
    projectid: RefOrAll | None = None
    isrecursive: bool = False
    listall: bool = False

    def owned(self, call: Call, query: Query, *, by_id: Any = None) -> Query:
        """Scope the query to what the caller may see and asked for; an id (``by_id``) widens it to all of theirs."""
        query.conditions.extend(
            scope(
                call.db,
                call.caller,
                query.table,
                account=self.account,
                domain=self.domainid,
                project=self.projectid,
                recursive=self.isrecursive,
                listall=self.listall,
                named=by_id is not None,
            )
        )
        return query


def check_paging(page: int | None, pagesize: int | None) -> None:
    """Check that page and pagesize go together (no limit, -1, needs no page) and are in range."""
    if (page is None) != (pagesize is None) and pagesize != -1:
        missing = "page" if page is None else "pagesize"
        raise InvalidParameter(f"page and pagesize go together: parameter {missing} is missing")
    if page is not None and page < 1:
        raise InvalidParameter("parameter page counts from 1")
    if pagesize is not None and pagesize != -1 and pagesize < 1:
        raise InvalidParameter("parameter pagesize must be at least 1, or -1 for no limit")


def scope(
    db: Connection,
    caller: Caller,
    table: Table,
    *,
    account: str | None = None,
    domain: Row[Any] | None = None,
    project: Row[Any] | str | None = None,
    recursive: bool = False,
    listall: bool = False,
    named: bool = False,
) -> list[ColumnElement[bool]]:
    """Return the conditions that keep a list to what the caller may see and asked for (columns account_id, domain_id).

    Without ``listall`` everybody sees the own account's objects; with it root admins see all, domain admins a subtree.
    What belongs to projects is only in lists that ask for it: by ``project`` (the project's row, or "-1" for all) or
    by the objects' ids (``named``).
    """
    if project is not None:
        return _of_projects(db, caller, table, project, account=account, domain=domain, listall=listall)
    if named:
        listall = True
    if account is not None:
        return [table.c.account_id == _named_account(db, caller, account, domain)]
    if domain is not None:
        if not (caller.admin or (caller.domain_admin and domain.path.startswith(caller.domain_path))):
            if domain.id != caller.domain_id:
                raise PermissionDenied(f"{caller.account} may not list in the domain that parameter domainid names")
            return [table.c.account_id == caller.account_id]
        without = [] if named else _without_projects(db, table)
        if recursive:
            return [in_subtree(db, table.c.domain_id, domain.path), *without]
        return [table.c.domain_id == domain.id, *without]
    own = table.c.account_id == caller.account_id
    if named and caller.projects:
        own = table.c.account_id.in_([caller.account_id, *sorted(caller.projects)])
    if not listall or caller.role == "User":
        return [own]
    without = [] if named else _without_projects(db, table)
    if caller.admin:
        return without
    return [sa.or_(in_subtree(db, table.c.domain_id, caller.domain_path), own), *without]


_FEW = 50


def in_subtree(db: Connection, column: ColumnElement[Any], path: str) -> ColumnElement[bool]:
    """Return the condition that a column's domain is the one with this path or below it.

    SQLite would put the ids of all those domains into a table first, for the page and for its count.  Where nearly all
    domains are below, it is told the few that are not; on PostgreSQL another transaction might make one meanwhile.
    """
    tree = entities.domains()
    below = tree.c.path.startswith(path, autoescape=True)
    if db.dialect.name == "sqlite":
        others: Sequence[int] = select(db, sa.select(tree.c.id).where(~below).limit(_FEW + 1)).scalars().all()
        if len(others) <= _FEW:
            listed = sa.func.json_each(msgspec.json.encode(list(others)).decode()).table_valued("value")
            return sa.and_(column.is_not(None), column.not_in(sa.select(listed.c.value)))
    return column.in_(sa.select(tree.c.id).where(below))


def _projects() -> Table:
    found = entities.known("Project")
    if found is None:
        raise LookupError("no slice registers projects")
    return found.table


def _without_projects(db: Connection, table: Table) -> list[ColumnElement[bool]]:
    """Return the condition that leaves out what belongs to projects: none where there are no projects."""
    projects = _projects()
    if select(db, sa.select(projects.c.id).limit(1)).first() is None:
        return []
    owners = sa.select(projects.c.account_id)
    if not table.c.account_id.nullable:
        return [table.c.account_id.not_in(owners)]
    return [sa.or_(table.c.account_id.is_(None), table.c.account_id.not_in(owners))]


def _of_projects(
    db: Connection,
    caller: Caller,
    table: Table,
    project: Row[Any] | str,
    *,
    account: str | None,
    domain: Row[Any] | None,
    listall: bool,
) -> list[ColumnElement[bool]]:
    if account is not None:
        raise InvalidParameter("parameters account and projectid exclude each other")
    if not isinstance(project, str):
        if domain is not None and domain.id != project.domain_id:
            raise InvalidParameter("parameter projectid names a project of another domain than parameter domainid")
        return [table.c.account_id == project.account_id]
    within = [] if domain is None else [table.c.domain_id == domain.id]
    if caller.admin:
        return within if listall else [table.c.account_id.in_(sa.select(_projects().c.account_id)), *within]
    return [table.c.account_id.in_(sorted(caller.projects)), *within]


def _named_account(db: Connection, caller: Caller, name: str, domain: Row[Any] | None) -> int:
    accounts = entities.known("Account")
    if accounts is None:
        raise LookupError("no slice registers accounts")
    domain_id = domain.id if domain is not None else caller.domain_id
    found = db.execute(
        sa.select(accounts.table).where(
            accounts.table.c.name == name,
            accounts.table.c.domain_id == domain_id,
            accounts.table.c.removed.is_(None),
        )
    ).one_or_none()
    if found is None:
        raise InvalidParameter(f"parameter account: the domain has no account {name[:64]!r}")
    if found.id != caller.account_id and not (
        caller.admin or (caller.domain_admin and entities.domain_within(db, found.domain_id, caller.domain_path))
    ):
        raise PermissionDenied(f"{caller.account} may not list the resources of account {name[:64]!r}")
    return int(found.id)


def fetch(db: Connection, query: Query, page: int | None, pagesize: int | None) -> tuple[Sequence[Row[Any]], int]:
    """Return a page of rows and the exact number of all."""
    size = MAX_PAGE if pagesize is None else pagesize
    statement = sa.select(query.table).where(*query.conditions).order_by(*query.order)
    if size != -1:
        offset = ((page or 1) - 1) * size
        if offset and "id" in query.table.c:
            rows = _far(db, query, offset, size)
        else:
            rows = select(db, statement.limit(size).offset(offset) if offset else statement.limit(size)).all()
        if rows and len(rows) < size:
            return rows, offset + len(rows)
        if not rows and offset == 0:
            return rows, 0
        count = query.counted(db)
        if count is None:
            counting = sa.select(sa.func.count()).select_from(query.table).where(*query.conditions)
            count = int(select(db, counting).scalar_one())
        return rows, count
    rows = select(db, statement).all()
    return rows, len(rows)


def _far(db: Connection, query: Query, offset: int, size: int) -> list[Row[Any]]:
    """Return a page that is not the first: skipping over ids alone is much less work than over whole rows."""
    ids = sa.select(query.table.c.id).where(*query.conditions).order_by(*query.order).limit(size)
    place = query.seek(db, offset)
    ids = ids.offset(offset) if place is None else ids.where(query.table.c.id >= place[0]).offset(place[1])
    found = select(db, ids).scalars().all()
    among = {row.id: row for row in _related(query.table)(db, {"ids": found})}
    return [among[id_] for id_ in found if id_ in among]


def page_of(items: list[dict[str, Any]], page: int | None, pagesize: int | None) -> Listed:
    """Return a page of answers that are all at hand (short catalogues only)."""
    size = MAX_PAGE if pagesize is None else pagesize
    if size == -1:
        return Listed(items, len(items))
    begin = ((page or 1) - 1) * size
    return Listed(items[begin : begin + size], len(items))


def related(db: Connection, table: Table, ids: Iterable[int | None]) -> dict[int, Row[Any]]:
    """Return the rows with these internal ids, by id: one query for a whole page."""
    wanted = sorted({i for i in ids if i is not None})
    if not wanted:
        return {}
    return {row.id: row for row in _related(table)(db, {"ids": wanted})}


@cache
def _related(table: Table) -> Listing:
    return Listing(lambda among: sa.select(table).where(among(table.c.id, "ids")))


def grouped(db: Connection, table: Table, column: ColumnElement[Any], ids: Iterable[int]) -> dict[int, list[Row[Any]]]:
    """Return the rows whose column is one of these ids, grouped by it: one query for a whole page."""
    result: dict[int, list[Row[Any]]] = {}
    wanted = sorted(set(ids))
    if wanted:
        for row in _grouped(table, column)(db, {"ids": wanted}):
            result.setdefault(getattr(row, str(column.key)), []).append(row)
    return result


@cache
def _grouped(table: Table, column: ColumnElement[Any]) -> Listing:
    live = table.c.removed.is_(None) if "removed" in table.c else sa.true()
    return Listing(lambda among: sa.select(table).where(among(column, "ids"), live).order_by(table.c.id))
