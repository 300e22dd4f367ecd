"""Roles: what the users of accounts may call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core.calls import DOMAIN_ADMIN, USER, Call, Success
from pileus.core.commands import Command, command
from pileus.core.database import after_commit, change, insert, new_uuid, now, one
from pileus.core.errors import ConcurrentChange, InUse, InvalidParameter, MissingParameter, PermissionDenied
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Entries, Ref
from pileus.identity import callers, roles, views_roles
from pileus.identity.tables import account, role, role_permission

ENABLED, DISABLED = "enabled", "disabled"


def refuse_change(call: Call, row: Row[Any]) -> None:
    """Refuse a change of a role that every cloud has, of the caller's own, and of one that allows more than that."""
    if row.is_default:
        raise PermissionDenied(f"the role {row.name} is a default one and cannot be changed; make a copy of it")
    if row.id == call.caller.role_id:
        raise PermissionDenied("nobody may change the own role")
    roles.refuse_escalation(call.db, call.caller, row.id)


def changed(call: Call, role_id: int) -> Row[Any]:
    """Check a changed role against the caller's own, make it known, and return it."""
    roles.refuse_escalation(call.db, call.caller, role_id)

    def forget() -> None:
        roles.forget(call.services)
        callers.forget(call.services)

    after_commit(call.db, forget)
    return one(call.db, role, role_id)


def _type(text: str) -> str:
    found = next((type_ for type_ in roles.TYPES if type_.lower() == text.strip().lower()), None)
    if found is None:
        raise InvalidParameter(f"parameter type must be one of {', '.join(roles.TYPES)}, not {text[:60]!r}")
    return found


def _named(call: Call, name: str) -> Row[Any] | None:
    statement = sa.select(role).where(sa.func.lower(role.c.name) == name.lower(), role.c.removed.is_(None))
    return call.db.execute(statement.order_by(role.c.id)).first()


def _free_name(call: Call, name: str, *, but: int = 0) -> str:
    if name.strip() != name:
        raise InvalidParameter("parameter name may not begin or end with a blank")
    found = _named(call, name)
    if found is not None and found.id != but:
        raise InvalidParameter(f"parameter name: there is a role {found.name} already")
    return name


def _insert(call: Call, name: str, type_: str, text: str | None, public: bool) -> int:
    return insert(
        call.db, role, uuid=new_uuid(), name=_free_name(call, name), type=type_, description=text, is_public=public
    )


@command("createRole", event="ROLE.CREATE")
class CreateRole(Command):
    """Create a role of a type, without rules, or as a copy of another role."""

    name: str
    type: str | None = None
    roleid: Ref | None = None
    description: str | None = None
    ispublic: bool = True

    def check(self) -> None:
        """Check that there is a type or a role to copy, and not both."""
        if (self.type is None) == (self.roleid is None):
            raise InvalidParameter("either parameter type or parameter roleid is needed, and not both")
        self.type = _type(self.type) if self.type is not None else None

    def run(self, call: Call) -> dict[str, Any]:
        made = _insert(call, self.name, self.type or _type_of(self.roleid), self.description, self.ispublic)
        if self.roleid is not None:
            copied = roles.rules_of(call.db, self.roleid.id)
            roles.write_rules(call.db, made, ((rule.permission, rule.rule, rule.description) for rule in copied))
        row = changed(call, made)
        call.describe(f"creating role {self.name}", resource=("Role", row.uuid))
        return views_roles.roles([row])[0]


def _type_of(row: Row[Any] | None) -> str:
    if row is None:
        raise MissingParameter("parameter type is missing")
    return str(row.type)


@command("importRole", event="ROLE.IMPORT")
class ImportRole(Command):
    """Create a role with its rules; with forced, one of the same name is replaced."""

    name: str
    rules: Entries
    type: str | None = None
    description: str | None = None
    forced: bool = False
    ispublic: bool = True

    def check(self) -> None:
        """Check the type and every rule."""
        if self.type is None:
            raise MissingParameter("parameter type is missing")
        self.type = _type(self.type)
        for entry in self.rules:
            if not {"rule", "permission"} <= set(entry) <= {"rule", "permission", "description"}:
                raise InvalidParameter("parameter rules must be given as rules[0].rule=a&rules[0].permission=allow")
            roles.check_rule("rules", entry["rule"])
            entry["permission"] = roles.check_permission(entry["permission"])

    def run(self, call: Call) -> dict[str, Any]:
        found = _named(call, self.name)
        if found is not None and not self.forced:
            raise InvalidParameter(f"parameter name: there is a role {found.name} already; forced=true replaces it")
        if found is None:
            made = _insert(call, self.name, self.type or USER, self.description, self.ispublic)
        else:
            refuse_change(call, found)
            if found.type != self.type:
                _refuse_used(call, found, "parameter type: its accounts would change their kind")
            made = found.id
            values = {"type": self.type, "description": self.description, "is_public": self.ispublic}
            if not change(call.db, role, made, expect={"removed": None}, **values):
                raise ConcurrentChange("the role was deleted meanwhile")
            call.db.execute(sa.delete(role_permission).where(role_permission.c.role_id == made))
        rules = ((entry["permission"], entry["rule"], entry.get("description")) for entry in self.rules)
        roles.write_rules(call.db, made, rules)
        row = changed(call, made)
        call.describe(f"importing role {self.name}", resource=("Role", row.uuid))
        return views_roles.roles([row])[0]


def _refuse_used(call: Call, row: Row[Any], why: str) -> None:
    used = sa.select(account.c.name).where(account.c.role_id == row.id, account.c.removed.is_(None)).limit(1)
    name = call.db.execute(used).scalar_one_or_none()
    if name is not None:
        raise InUse(f"{why}; account {name} has the role {row.name}")


@command("updateRole", event="ROLE.UPDATE")
class UpdateRole(Command):
    """Change a role's name, description, type or visibility."""

    id: Ref
    name: str | None = None
    description: str | None = None
    type: str | None = None
    ispublic: bool | None = None

    def check(self) -> None:
        """Check the type."""
        self.type = _type(self.type) if self.type is not None else None

    def run(self, call: Call) -> dict[str, Any]:
        refuse_change(call, self.id)
        values: dict[str, Any] = {}
        if self.name:
            values["name"] = _free_name(call, self.name, but=self.id.id)
        if self.description is not None:
            values["description"] = self.description
        if self.type is not None and self.type != self.id.type:
            _refuse_used(call, self.id, "parameter type: its accounts would change their kind")
            values["type"] = self.type
        if self.ispublic is not None:
            values["is_public"] = self.ispublic
        if values and not change(call.db, role, self.id.id, expect={"removed": None}, **values):
            raise ConcurrentChange("the role was deleted meanwhile")
        row = changed(call, self.id.id)
        call.describe(f"updating role {row.name}", resource=("Role", row.uuid))
        return views_roles.roles([row])[0]


@command("deleteRole", event="ROLE.DELETE")
class DeleteRole(Command):
    """Delete a role that no account has."""

    id: Ref

    def run(self, call: Call) -> Success:
        refuse_change(call, self.id)
        _refuse_used(call, self.id, "the role cannot be deleted")
        if not change(call.db, role, self.id.id, expect={"removed": None}, removed=now()):
            raise ConcurrentChange("the role was deleted meanwhile")
        changed(call, self.id.id)
        call.describe(f"deleting role {self.id.name}", resource=("Role", self.id.uuid))
        return Success()


def _switch(call: Call, row: Row[Any], state: str) -> Success:
    refuse_change(call, row)
    if not change(call.db, role, row.id, expect={"removed": None}, state=state):
        raise ConcurrentChange("the role was deleted meanwhile")
    changed(call, row.id)
    call.describe(f"role {row.name} is {state} now", resource=("Role", row.uuid))
    return Success()


@command("enableRole", event="ROLE.ENABLE")
class EnableRole(Command):
    """Let the accounts of a role call again what it allows."""

    id: Ref

    def run(self, call: Call) -> Success:
        return _switch(call, self.id, ENABLED)


@command("disableRole", event="ROLE.DISABLE")
class DisableRole(Command):
    """Refuse every call of the accounts of a role."""

    id: Ref

    def run(self, call: Call) -> Success:
        return _switch(call, self.id, DISABLED)


@command("listRoles")
class ListRoles(ListCommand):
    """List the roles that the caller may give."""

    id: Ref | None = None
    name: str | None = None
    type: str | None = None
    state: str | None = None

    def query(self, call: Call) -> Query:
        """Domain admins see the public roles of their kind and below."""
        query = Query(role).same(role.c.name, self.name).same(role.c.type, self.type).same(role.c.state, self.state)
        query.equals(role.c.id, self.id).contains(self.keyword, role.c.name, role.c.description)
        if not call.caller.admin:
            query.where(role.c.is_public, role.c.type.in_([DOMAIN_ADMIN, USER]))
        return query

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        return views_roles.roles(rows)
