"""Dispatch: one API call, from its parameters to its answer, in one transaction."""

from __future__ import annotations

import random
import re
import time
from contextlib import AbstractContextManager
from typing import Any, cast

import sqlalchemy.exc
import structlog
from sqlalchemy import Connection

from pileus.core import attachments, commands, contract, events, lanes, permissions
from pileus.core.calls import Call, Caller, Listed, Success
from pileus.core.commands import Command, CommandSpec
from pileus.core.errors import ApiError, InternalError, InUse, InvalidParameter, ServiceUnavailable, UnknownCommand
from pileus.core.jobs.submission import Submission
from pileus.core.parameters import is_uuid
from pileus.core.rendering import Answer, refusal, wrapper_of
from pileus.core.services import Services

log = structlog.get_logger(__name__)

TRIES = 5
"""How often a transaction is tried when PostgreSQL picks it as the victim of a conflict."""

_CONFLICTS = {"40001", "40P01"}  # serialization failure, deadlock


class RoleMayNotCall(ApiError):
    """A command that the caller's role does not have."""

    code, cserrorcode = 401, 9999


def dispatch(services: Services, caller: Caller, name: str, raw: dict[str, str], request: str = "") -> Answer:
    """Run a command for a caller and return its answer; refusals are answers too.

    ``raw``: the request's parameters, names lower-cased (of maps: the part before the bracket).
    """
    spec = commands.find(name)
    if spec is None:
        return refusal("errorresponse", UnknownCommand(f"unknown API command: {name[:64]}"))
    try:
        result, call = execute(services, caller, spec, raw, request)
        return Answer(200, {wrapper_of(name): shaped(spec, result, call)})
    except ApiError as error:
        return refusal(wrapper_of(name, error=True), error)
    except Exception as error:
        if lanes.overdue():
            raise lanes.Expired from error
        return refusal(wrapper_of(name, error=True), _unexpected(name, error, request))


def execute(
    services: Services, caller: Caller, spec: CommandSpec, raw: dict[str, str], request: str
) -> tuple[Any, Call]:
    """Run a command through its phases; return its result and the call."""
    if spec.name not in permissions.allowed(services, caller):
        raise RoleMayNotCall(f"the role of {caller.account} may not call {spec.name}")
    if spec.wire.is_async:
        refuse_when_draining(services)
        check_custom_job_id(raw)
    instance = commands.build(spec, raw)
    instance.complete(services)
    # Attributes are replaced by rows when they are resolved: keep the text for another try.
    parameters = {name: getattr(instance, name) for name in spec.fields}
    instance.prepare(services)
    for attempt in range(1, TRIES + 1):
        try:
            with _transaction(services, spec) as db:
                call = Call(db=db, caller=caller, services=services, spec=spec, request=request, raw=raw)
                result = run(spec, instance, call)
        except sqlalchemy.exc.DBAPIError as error:
            if attempt == TRIES or getattr(error.orig, "sqlstate", None) not in _CONFLICTS:
                raise
            log.info("call repeated after a conflict", command=spec.name, attempt=attempt)
            time.sleep(random.uniform(0, 0.02 * attempt))  # noqa: S311 (spreads the repeats)
            for field, value in parameters.items():
                setattr(instance, field, value)
        else:  # outside of what is repeated: it is committed
            return instance.finishup(services, result), call
    raise AssertionError("unreachable")


def refuse_when_draining(services: Services) -> None:
    """Refuse what would start a job on a server that was told to finish: others, or this one later, take it."""
    engine = services.engine
    if engine is not None and engine.membership.state:
        raise ServiceUnavailable(
            f"this management server is {engine.membership.state}: it takes no new jobs; ask another one, or try later"
        )


def check_custom_job_id(raw: dict[str, str]) -> None:
    """Check the id that the caller chose for the job, and write it as ids are written."""
    chosen = raw.get("customjobid")
    if chosen is not None and not is_uuid(chosen):
        raise InvalidParameter(f"parameter customjobid must be a UUID, not {chosen[:64]!r}")
    if chosen is not None:
        raw["customjobid"] = chosen.lower()


def _transaction(services: Services, spec: CommandSpec) -> AbstractContextManager[Connection]:
    return services.database.read() if spec.reads else services.database.write()


def run(spec: CommandSpec, instance: Command, call: Call) -> Any:
    """Check the references, run the command, record its event."""
    commands.resolve(spec, instance, call)
    try:
        result = instance.run(call)
    except sqlalchemy.exc.IntegrityError as error:
        raise clash(error) from error
    _attach(spec, instance, call, result)
    if spec.event and not isinstance(result, Submission):
        events.completed(call)
    return result


def _attach(spec: CommandSpec, instance: Command, call: Call, result: Any) -> None:
    """Fill what hangs on the objects that are answered."""
    items: list[dict[str, Any]] = []
    if isinstance(result, Listed):
        items = result.items
    elif isinstance(result, dict) and spec.wire.kind == "object":
        items = [cast(dict[str, Any], result)]
    asked = frozenset({"showicon"} if getattr(instance, "showicon", False) else ())
    attachments.attach(call.db, spec.wire.object, items, admin=call.caller.admin, asked=asked)


def clash(error: sqlalchemy.exc.IntegrityError) -> ApiError:
    """Return what a violated constraint means for the caller."""
    state = getattr(error.orig, "sqlstate", None)
    text = str(error.orig)
    unique = re.search(r"UNIQUE constraint failed: (.+)", text)
    if unique or state == "23505":
        detail = unique[1] if unique else re.sub(r"(?s).*Key \((.*?)\).*", r"\1", text)
        columns = [part.strip().rpartition(".")[2] for part in detail.split(",")]
        if columns == ["uuid"]:
            return InvalidParameter(
                "an object with this id already exists: parameters customid and customjobid take fresh ones"
            )
        what = " and ".join(c.removesuffix("_id") for c in columns if c.isidentifier()) or "name"
        return InvalidParameter(f"one with the same {what} already exists")
    if state == "23503" or "FOREIGN KEY" in text:
        return InUse("the object is in use, or something it needs was deleted meanwhile")
    log.error("a row broke a rule of the database", why=text)
    return InternalError("the change breaks a rule of the database; the server's log says which")


def _unexpected(name: str, error: Exception, request: str) -> ApiError:
    if isinstance(error, sqlalchemy.exc.IntegrityError):  # PostgreSQL may say so at commit
        return clash(error)
    if isinstance(error, sqlalchemy.exc.OperationalError | sqlalchemy.exc.TimeoutError):
        log.exception("the database does not answer", command=name)
        return ServiceUnavailable("the database does not answer; try again later")
    log.exception("a command failed by a fault of the server", command=name)
    return InternalError(f"internal error; the server's log has the cause under request {request or '-'}")


def shaped(spec: CommandSpec, result: Any, call: Call) -> dict[str, Any]:
    """Return what stands inside the wrapper."""
    wire = spec.wire
    if isinstance(result, Submission):
        made = {"id": call.event_resource[1]} if wire.create and call.event_resource else {}
        return made | {"jobid": result.uuid}
    if isinstance(result, Success):
        return {"success": True} | ({"displaytext": result.text} if result.text else {})
    if isinstance(result, Listed):
        items = visible(spec, result.items, call.caller.role)
        if wire.kind == "object" and len(items) == 1:
            return {wire.response: items[0]}
        counted = {"count": result.count} if result.count else {}
        return counted | {wire.response: items} if items else counted
    if not isinstance(result, dict):
        raise TypeError(f"{spec.name} answered {type(result).__name__}, which is no answer")
    found = cast(dict[str, Any], result)
    if wire.kind in ("flat", "success") or not wire.response:
        return found
    return {wire.response: visible(spec, [found], call.caller.role)[0]}


def visible(spec: CommandSpec, items: list[dict[str, Any]], role: str) -> list[dict[str, Any]]:
    """Return the objects without the fields that only other roles see."""
    hidden = hidden_fields(spec.wire.object, role)
    if not hidden:
        return items
    return [{name: value for name, value in item.items() if name not in hidden} for item in items]


def hidden_fields(object_: str, role: str) -> frozenset[str]:
    """Return the fields of an object that callers of a role do not see."""
    if role == "Admin":
        return frozenset()
    notes = contract.load().notes.get(object_, {})
    return frozenset(name for name, note in notes.items() if "roles" in note and role not in note["roles"])
