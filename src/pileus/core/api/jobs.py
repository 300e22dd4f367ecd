"""Jobs as API clients poll them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core import attachments, commands, entities
from pileus.core.api.owners import Owners
from pileus.core.calls import Call
from pileus.core.commands import Command, CommandSpec, command
from pileus.core.dispatch import visible
from pileus.core.errors import MissingParameter, PermissionDenied
from pileus.core.jobs.tables import job, server
from pileus.core.listing import OwnedListCommand, Query
from pileus.core.parameters import Date
from pileus.core.rendering import date

PENDING, DONE, FAILED, CANCELLED = 0, 1, 2, 3
_STATUS = {"done": DONE, "failed": FAILED, "cancelled": CANCELLED}

ENCRYPTED = "encrypted"
"""A secret of a result is kept as ``{ENCRYPTED: token}``, and shown in clear to those who may see the job."""
SECRETS = ("password", "privatekey")

entities.register("AsyncJob", job, "job")


@command("queryAsyncJobResult")
class QueryAsyncJobResult(Command):
    """Return the state of a job and, once it has ended, its result."""

    jobid: str | None = None
    resourceid: str | None = None
    resourcetype: str | None = None

    def check(self) -> None:
        """Check that the job is named, one way or the other."""
        if self.jobid is None and (self.resourceid is None or self.resourcetype is None):
            raise MissingParameter("parameter jobid, or resourceid with resourcetype, is needed")

    def run(self, call: Call) -> dict[str, Any]:
        row = self._find(call)
        if row is None or not entities.owned(call.db, call.caller, row):
            raise entities.unknown("jobid" if self.jobid else "resourceid", self.jobid or self.resourceid or "", "job")
        return views(call, [row])[0]

    def _find(self, call: Call) -> Row[Any] | None:
        if self.jobid is not None:
            return entities.find(call.db, "AsyncJob", self.jobid)
        statement = sa.select(job).where(job.c.instance_uuid == self.resourceid, job.c.cmd != "")
        statement = statement.where(sa.func.lower(job.c.instance_type) == (self.resourcetype or "").lower())
        return call.db.execute(statement.order_by(job.c.id.desc()).limit(1)).one_or_none()


@command("listAsyncJobs")
class ListAsyncJobs(OwnedListCommand):
    """List the jobs that the caller may see."""

    startdate: Date | None = None
    resourceid: str | None = None
    resourcetype: str | None = None
    managementserverid: str | None = None

    def query(self, call: Call) -> Query:
        """Only what was asked for through the API: no parts of jobs; of a server what it runs now."""
        query = Query(job, job.c.id.desc()).where(job.c.cmd != "").contains(self.keyword, job.c.cmd)
        query.equals(job.c.instance_uuid, self.resourceid).same(job.c.instance_type, self.resourcetype)
        if self.managementserverid is not None:
            if not call.caller.admin:
                raise PermissionDenied("parameter managementserverid is for root admins")
            named = sa.select(server.c.uuid).where(server.c.name == self.managementserverid)
            if call.db.execute(named).first() is None:
                raise entities.unknown("managementserverid", self.managementserverid, "management server")
            query.where(job.c.owner.startswith(f"{self.managementserverid}:", autoescape=True))
        if self.startdate is not None:
            query.where(job.c.created >= self.startdate)
        return self.owned(call, query)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        return views(call, rows)


def views(call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Return jobs as the API shows them; what hangs on the objects that they made is as it is now."""
    owners = Owners(call.db, rows, call.caller)
    answers = [view(row, owners, call.caller.role) for row in rows]
    made: dict[str, list[dict[str, Any]]] = {}
    for row, answer in zip(rows, answers, strict=True):
        spec = commands.find(row.cmd)
        result = answer.get("jobresult")
        if spec is not None and answer["jobstatus"] == DONE and isinstance(result, dict):
            inner = cast(dict[str, Any], result).get(spec.wire.response)
            if isinstance(inner, dict):
                made.setdefault(spec.wire.object, []).append(clear(call, cast(dict[str, Any], inner)))
    for object_, items in made.items():
        attachments.attach(call.db, object_, items, admin=call.caller.admin)
    return answers


def clear(call: Call, item: dict[str, Any]) -> dict[str, Any]:
    """Decrypt the secrets of a result, in place."""
    for name in SECRETS:
        kept = item.get(name)
        if isinstance(kept, dict):
            item[name] = call.services.secrets.decrypt(cast(dict[str, str], kept)[ENCRYPTED])
    return item


def view(row: Row[Any], owners: Owners, role: str) -> dict[str, Any]:
    """Return a job as the API shows it."""
    status = _STATUS.get(row.state, PENDING)
    of = owners.fields(row)
    answer: dict[str, Any] = {
        "accountid": of["accountid"],
        "account": of["account"],
        "domainid": of["domainid"],
        "domainpath": of["domainpath"],
        "userid": of["userid"],
        "cmd": row.cmd,
        "jobstatus": status,
        "jobprocstatus": round(row.progress * 100),
        "jobresultcode": row.result_code,
        "jobinstancetype": row.instance_type,
        "jobinstanceid": row.instance_uuid,
        "created": date(row.created),
        "completed": date(row.completed),
        "jobid": row.uuid,
    }
    if status != PENDING:
        answer["jobresulttype"] = "object"
        answer["jobresult"] = result_of(commands.find(row.cmd), status, row.result, role)
    return answer


def result_of(spec: CommandSpec | None, status: int, result: Any, role: str) -> Any:
    """Return the result of a job that has ended: an object under its command's key, a bare success, or an error."""
    if status != DONE:
        return result
    if not result or spec is None or not spec.wire.response:
        extra: dict[str, Any] = result or {}
        return {"success": True} | extra
    found = cast(dict[str, Any], result)
    inner = found[spec.wire.response] if set(found) == {spec.wire.response} else found
    return {spec.wire.response: visible(spec, [inner], role)[0] if isinstance(inner, dict) else inner}
