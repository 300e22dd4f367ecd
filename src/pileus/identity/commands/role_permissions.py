"""Rules of roles, in the order in which they are tried."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from pileus.core.calls import Call, Listed, Success
from pileus.core.commands import Command, command
from pileus.core.database import change, insert, new_uuid, one
from pileus.core.errors import ConcurrentChange, InvalidParameter, MissingParameter
from pileus.core.parameters import Ref
from pileus.identity import roles, views_roles
from pileus.identity.commands.roles import changed, refuse_change
from pileus.identity.tables import role, role_permission


def _lock(call: Call, role_id: int) -> None:
    """Let changes of one role's rules wait for each other."""
    if not change(call.db, role, role_id, expect={"removed": None}, name=role.c.name):
        raise ConcurrentChange("the role was deleted meanwhile")


@command("createRolePermission", event="ROLE.PERMISSION.CREATE", manage=["roleid"])
class CreateRolePermission(Command):
    """Add a rule to the end of a role's rules."""

    roleid: Ref
    rule: str
    permission: str
    description: str | None = None

    def check(self) -> None:
        """Check the pattern and the permission."""
        roles.check_rule("rule", self.rule)
        self.permission = roles.check_permission(self.permission)

    def run(self, call: Call) -> dict[str, Any]:
        refuse_change(call, self.roleid)
        _lock(call, self.roleid.id)
        last = sa.select(sa.func.max(role_permission.c.position)).where(role_permission.c.role_id == self.roleid.id)
        position = call.db.execute(last).scalar_one()
        made = insert(
            call.db,
            role_permission,
            uuid=new_uuid(),
            role_id=self.roleid.id,
            rule=self.rule,
            permission=self.permission,
            description=self.description,
            position=0 if position is None else position + 1,
        )
        changed(call, self.roleid.id)
        call.describe(f"role {self.roleid.name}: {self.permission} {self.rule}", resource=("Role", self.roleid.uuid))
        return views_roles.permissions(call.db, [one(call.db, role_permission, made)])[0]


@command("updateRolePermission", event="ROLE.PERMISSION.UPDATE", manage=["roleid"])
class UpdateRolePermission(Command):
    """Change what a rule says, or the order of all rules of a role."""

    roleid: Ref
    ruleid: Ref | None = None
    permission: str | None = None
    ruleorder: list[Ref] = []

    def check(self) -> None:
        """Check that either a rule or an order is given."""
        if bool(self.ruleorder) == (self.ruleid is not None):
            raise InvalidParameter("either parameter ruleorder or parameters ruleid and permission are needed")
        if self.ruleid is not None and self.permission is None:
            raise MissingParameter("parameter permission is missing")
        self.permission = roles.check_permission(self.permission) if self.permission is not None else None

    def run(self, call: Call) -> Success:
        refuse_change(call, self.roleid)
        _lock(call, self.roleid.id)
        if self.ruleid is not None:
            if self.ruleid.role_id != self.roleid.id:
                raise InvalidParameter("parameter ruleid names a rule of another role")
            change(call.db, role_permission, self.ruleid.id, permission=self.permission)
        else:
            self._order(call)
        changed(call, self.roleid.id)
        call.describe(f"changing rules of role {self.roleid.name}", resource=("Role", self.roleid.uuid))
        return Success()

    def _order(self, call: Call) -> None:
        wanted = [row.id for row in self.ruleorder]
        present = [row.id for row in roles.rules_of(call.db, self.roleid.id)]
        if sorted(wanted) != sorted(present):
            raise InvalidParameter(f"parameter ruleorder must name all {len(present)} rules of the role once each")
        for position, id_ in enumerate(wanted):
            change(call.db, role_permission, id_, position=position)


@command("deleteRolePermission", event="ROLE.PERMISSION.DELETE")
class DeleteRolePermission(Command):
    """Delete a rule of a role."""

    id: Ref

    def run(self, call: Call) -> Success:
        of = one(call.db, role, self.id.role_id)
        refuse_change(call, of)
        _lock(call, of.id)
        call.db.execute(sa.delete(role_permission).where(role_permission.c.id == self.id.id))
        changed(call, of.id)
        call.describe(f"role {of.name}: {self.id.permission} {self.id.rule} is gone", resource=("Role", of.uuid))
        return Success()


@command("listRolePermissions")
class ListRolePermissions(Command):
    """List rules in the order in which they are tried: of a role, or of all."""

    roleid: Ref | None = None

    def run(self, call: Call) -> Listed:
        table = role_permission.c
        statement = sa.select(role_permission).join(role, role.c.id == table.role_id).where(role.c.removed.is_(None))
        if self.roleid is not None:
            statement = statement.where(table.role_id == self.roleid.id)
        rows = call.db.execute(statement.order_by(table.role_id, table.position, table.id)).all()
        return Listed(views_roles.permissions(call.db, rows), len(rows))
