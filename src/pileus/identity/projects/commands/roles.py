"""Project roles: rules that take commands away from members of a project, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core.calls import Call, Listed, Success
from pileus.core.commands import Command, command
from pileus.core.database import change, insert, new_uuid, one
from pileus.core.errors import InUse, InvalidParameter, MissingParameter
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Ref
from pileus.identity import roles
from pileus.identity.projects import changes, members, views
from pileus.identity.projects.tables import project_member, project_role, project_role_permission


def _of(call: Call, project: Row[Any], row: Row[Any], parameter: str) -> None:
    """Check that a part belongs to the project, and let changes of the project wait for each other."""
    if row.project_id != project.id:
        raise InvalidParameter(f"parameter {parameter} names a part of another project")
    changes.lock(call.db, project)


def _free_name(call: Call, project: Row[Any], name: str, *, but: int = 0) -> str:
    taken = sa.select(project_role.c.id).where(
        project_role.c.project_id == project.id,
        sa.func.lower(project_role.c.name) == name.lower(),
        project_role.c.id != but,
    )
    if name.strip() != name or not name:
        raise InvalidParameter("parameter name may not be empty, nor begin or end with a blank")
    if call.db.execute(taken).first() is not None:
        raise InvalidParameter(f"parameter name: the project has a role {name} already")
    return name


@command("createProjectRole", event="PROJECT.ROLE.CREATE", manage=["projectid"])
class CreateProjectRole(Command):
    """Create a role in a project; until it gets rules it takes nothing away."""

    projectid: Ref
    name: str
    description: str | None = None

    def run(self, call: Call) -> dict[str, Any]:
        name = _free_name(call, self.projectid, self.name)
        values = {"project_id": self.projectid.id, "name": name, "description": self.description}
        made = one(call.db, project_role, insert(call.db, project_role, uuid=new_uuid(), **values))
        call.describe(f"creating role {name} of project {self.projectid.name}", owner=self.projectid)
        return views.roles(call.db, [made])[0]


@command("updateProjectRole", event="PROJECT.ROLE.UPDATE", manage=["projectid"])
class UpdateProjectRole(Command):
    """Change a project role's name or description."""

    id: Ref
    projectid: Ref
    name: str | None = None
    description: str | None = None

    def run(self, call: Call) -> dict[str, Any]:
        _of(call, self.projectid, self.id, "id")
        values: dict[str, Any] = {}
        if self.name is not None:
            values["name"] = _free_name(call, self.projectid, self.name, but=self.id.id)
        if self.description is not None:
            values["description"] = self.description
        if values:
            change(call.db, project_role, self.id.id, **values)
        call.describe(f"updating role {self.id.name} of project {self.projectid.name}", owner=self.projectid)
        return views.roles(call.db, [one(call.db, project_role, self.id.id)])[0]


@command("deleteProjectRole", event="PROJECT.ROLE.DELETE", manage=["projectid"])
class DeleteProjectRole(Command):
    """Delete a project role that no member has."""

    id: Ref
    projectid: Ref

    def run(self, call: Call) -> Success:
        _of(call, self.projectid, self.id, "id")
        having = sa.select(sa.func.count()).select_from(project_member)
        count = call.db.execute(having.where(project_member.c.project_role_id == self.id.id)).scalar_one()
        if count:
            raise InUse(f"{count} members of the project have the role {self.id.name}; remove them first")
        rules = project_role_permission.c.project_role_id == self.id.id
        call.db.execute(sa.delete(project_role_permission).where(rules))
        call.db.execute(sa.delete(project_role).where(project_role.c.id == self.id.id))
        call.describe(f"deleting role {self.id.name} of project {self.projectid.name}", owner=self.projectid)
        return Success()


@command("listProjectRoles")
class ListProjectRoles(ListCommand):
    """List the roles of a project."""

    projectid: Ref
    projectroleid: Ref | None = None
    name: str | None = None

    def query(self, call: Call) -> Query:
        """Return the roles that match."""
        query = Query(project_role).equals(project_role.c.project_id, self.projectid)
        query.equals(project_role.c.id, self.projectroleid).same(project_role.c.name, self.name)
        return query.contains(self.keyword, project_role.c.name, project_role.c.description)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        return views.roles(call.db, rows)


@command("createProjectRolePermission", event="PROJECT.ROLE.PERMISSION.CREATE", manage=["projectid"])
class CreateProjectRolePermission(Command):
    """Add a rule to the end of a project role's rules."""

    projectid: Ref
    projectroleid: Ref
    rule: str
    permission: str
    description: str | None = None

    def check(self) -> None:
        """Check the pattern and the permission."""
        roles.check_rule("rule", self.rule)
        self.permission = roles.check_permission(self.permission)

    def run(self, call: Call) -> dict[str, Any]:
        _of(call, self.projectid, self.projectroleid, "projectroleid")
        present = members.rules_of(call.db, self.projectroleid.id)
        made = insert(
            call.db,
            project_role_permission,
            uuid=new_uuid(),
            project_id=self.projectid.id,
            project_role_id=self.projectroleid.id,
            rule=self.rule,
            permission=self.permission,
            description=self.description,
            position=present[-1].position + 1 if present else 0,
        )
        call.describe(f"project role {self.projectroleid.name}: {self.permission} {self.rule}", owner=self.projectid)
        return views.permissions(call.db, [one(call.db, project_role_permission, made)])[0]


@command("updateProjectRolePermission", event="PROJECT.ROLE.PERMISSION.UPDATE", manage=["projectid"])
class UpdateProjectRolePermission(Command):
    """Change what a rule says, or the order of all rules of a project role."""

    projectid: Ref
    projectroleid: Ref
    projectrolepermissionid: Ref | None = None
    permission: str | None = None
    ruleorder: list[Ref] = []

    def check(self) -> None:
        """Check that either a rule or an order is given."""
        if bool(self.ruleorder) == (self.projectrolepermissionid is not None):
            raise InvalidParameter("either parameter ruleorder or projectrolepermissionid and permission are needed")
        if self.projectrolepermissionid is not None and self.permission is None:
            raise MissingParameter("parameter permission is missing")
        self.permission = roles.check_permission(self.permission) if self.permission is not None else None

    def run(self, call: Call) -> Success:
        _of(call, self.projectid, self.projectroleid, "projectroleid")
        rule = self.projectrolepermissionid
        if rule is not None:
            if rule.project_role_id != self.projectroleid.id:
                raise InvalidParameter("parameter projectrolepermissionid names a rule of another role")
            change(call.db, project_role_permission, rule.id, permission=self.permission)
        else:
            wanted = [row.id for row in self.ruleorder]
            present = [row.id for row in members.rules_of(call.db, self.projectroleid.id)]
            if sorted(wanted) != sorted(present):
                raise InvalidParameter(f"parameter ruleorder must name all {len(present)} rules of the role once each")
            for position, id_ in enumerate(wanted):
                change(call.db, project_role_permission, id_, position=position)
        call.describe(f"changing rules of project role {self.projectroleid.name}", owner=self.projectid)
        return Success()


@command("deleteProjectRolePermission", event="PROJECT.ROLE.PERMISSION.DELETE", manage=["projectid"])
class DeleteProjectRolePermission(Command):
    """Delete a rule of a project role."""

    id: Ref
    projectid: Ref

    def run(self, call: Call) -> Success:
        _of(call, self.projectid, self.id, "id")
        call.db.execute(sa.delete(project_role_permission).where(project_role_permission.c.id == self.id.id))
        call.describe(f"deleting a rule of project {self.projectid.name}: {self.id.rule}", owner=self.projectid)
        return Success()


@command("listProjectRolePermissions")
class ListProjectRolePermissions(Command):
    """List the rules of a project's roles in the order in which they are tried."""

    projectid: Ref
    projectroleid: Ref | None = None

    def run(self, call: Call) -> Listed:
        columns = project_role_permission.c
        statement = sa.select(project_role_permission).where(columns.project_id == self.projectid.id)
        if self.projectroleid is not None:
            statement = statement.where(columns.project_role_id == self.projectroleid.id)
        rows = call.db.execute(statement.order_by(columns.project_role_id, columns.position, columns.id)).all()
        return Listed(views.permissions(call.db, rows), len(rows))
