"""Projects: made, changed, suspended, deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core import entities
from pileus.core.calls import USER, Call
from pileus.core.commands import Command, command
from pileus.core.database import change, insert, new_uuid, now, one
from pileus.core.errors import ConcurrentChange, InUse, InvalidParameter, PermissionDenied
from pileus.core.jobs import Submission
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Ref
from pileus.identity import cleanup, store
from pileus.identity.projects import changes, limits, settings, views, workflows
from pileus.identity.projects.members import ADMIN, REGULAR
from pileus.identity.projects.tables import project, project_member
from pileus.identity.tables import account, domain, role, user
from pileus.identity.views import with_limits


def end(call: Call, row: Row[Any], workflow: Any = workflows.show, **more: Any) -> Submission:
    """Submit the job that ends a command on a project."""
    changes.known(call)
    return call.submit(
        workflow, key=workflows.key(row.id), instance=("Project", row.uuid), owner=row, project=row.id, **more
    )


def _free_name(call: Call, name: str, domain_id: int, *, but: int = 0) -> None:
    if name.strip() != name:
        raise InvalidParameter("parameter name may not begin or end with a blank")
    taken = sa.select(project.c.id).where(
        project.c.domain_id == domain_id,
        sa.func.lower(project.c.name) == name.lower(),
        project.c.removed.is_(None),
        project.c.id != but,
    )
    if call.db.execute(taken).first() is not None:
        raise InvalidParameter(f"parameter name: the domain has a project {name} already")


@command("createProject", event="PROJECT.CREATE", manage=())
class CreateProject(Command):
    """Create a project; its owner (by default the caller's account) becomes its admin."""

    name: str
    displaytext: str | None = None
    account: str | None = None
    accountid: Ref | None = None
    domainid: Ref | None = None
    userid: Ref | None = None

    def run(self, call: Call) -> Submission:
        if call.caller.role == USER and not call.services.settings.get(settings.USERS_CREATE):
            raise PermissionDenied("users may not create projects here (setting allow.user.create.projects)")
        owner, member_user = self._owner(call)
        within = self.domainid or one(call.db, domain, owner.domain_id)
        if within.state != "Active":
            raise InvalidParameter("parameter domainid names a domain that is being deleted")
        if owner.domain_id != within.id:
            raise InvalidParameter("parameter domainid names another domain than the owner's")
        _free_name(call, self.name, within.id)
        moment = now()
        made = insert(
            call.db,
            project,
            uuid=new_uuid(),
            name=self.name,
            display_text=self.displaytext,
            account_id=self._account(call, within.id, moment),
            domain_id=within.id,
            created=moment,
        )
        row = one(call.db, project, made)
        changes.add_member(
            call.db,
            row,
            owner.id,
            member_user.id if member_user is not None else None,
            role=ADMIN,
            project_role_id=None,
        )
        call.describe(f"creating project {self.name}")
        return end(call, row)

    def _owner(self, call: Call) -> tuple[Row[Any], Row[Any] | None]:
        """Return the account, and the user if only one of its users shall be the admin."""
        if sum(given is not None for given in (self.account, self.accountid)) > 1:
            raise InvalidParameter("parameters account and accountid exclude each other")
        owner = self.accountid
        if self.userid is not None:
            owner = owner or one(call.db, account, self.userid.account_id)
        if owner is None:
            owner = store.owner(call, self.account, self.domainid if self.account is not None else None)
        if self.userid is not None and self.userid.account_id != owner.id:
            raise InvalidParameter("parameter userid names a user of another account")
        if owner.state != "enabled" or owner.role_type == store.PROJECT:
            raise InvalidParameter(f"parameter account: {owner.name} cannot own projects")
        return owner, self.userid

    def _account(self, call: Call, domain_id: int, moment: float) -> int:
        plain = sa.select(role.c.id).where(role.c.type == USER, role.c.is_default).order_by(role.c.id).limit(1)
        return insert(
            call.db,
            account,
            uuid=new_uuid(),
            name=f"PrjAcct-{self.name[:200]}-{domain_id}",
            role_id=call.db.execute(plain).scalar_one(),
            role_type=store.PROJECT,
            domain_id=domain_id,
            details={},
            created=moment,
        )


@command("listProjects")
class ListProjects(ListCommand):
    """List the projects that the caller is a member of, or with listall those that the caller may see."""

    id: Ref | None = None
    name: str | None = None
    displaytext: str | None = None
    state: str | None = None
    account: str | None = None
    username: str | None = None
    domainid: Ref | None = None
    isrecursive: bool = False
    listall: bool = False
    details: list[str] = []

    def query(self, call: Call) -> Query:
        """Return the projects that match."""
        query = Query(project, project.c.id.desc()).same(project.c.name, self.name).same(project.c.state, self.state)
        query.same(project.c.display_text, self.displaytext).equals(project.c.id, self.id)
        query.contains(self.keyword, project.c.name, project.c.display_text)
        return query.where(*self._scope(call))

    def _scope(self, call: Call) -> list[sa.ColumnElement[bool]]:
        caller, tree = call.caller, entities.domains()
        conditions: list[sa.ColumnElement[bool]] = []
        if self.account is not None:
            of = store.owner(call, self.account, self.domainid)
            conditions.append(_with_member(project_member.c.member_account_id == of.id))
        if self.username is not None:
            users = sa.select(user.c.id).where(user.c.username == self.username, user.c.removed.is_(None))
            conditions.append(_with_member(project_member.c.member_user_id.in_(users)))
        if self.domainid is not None:
            within = tree.c.path.startswith(self.domainid.path, autoescape=True)
            conditions.append(
                project.c.domain_id.in_(sa.select(tree.c.id).where(within))
                if self.isrecursive
                else project.c.domain_id == self.domainid.id
            )
        if self.id is not None:
            return conditions
        everything = self.listall or self.domainid is not None or self.account is not None
        if caller.admin and everything:
            return conditions
        own = project.c.account_id.in_(sorted(caller.projects))
        if caller.domain_admin and everything:
            below = sa.select(tree.c.id).where(tree.c.path.startswith(caller.domain_path, autoescape=True))
            own = sa.or_(own, project.c.domain_id.in_(below))
        return [*conditions, own]

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        return views.projects(call.db, rows, limits=with_limits(self.details))


def _with_member(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    return project.c.id.in_(sa.select(project_member.c.project_id).where(condition))


@command("updateProject", event="PROJECT.UPDATE")
class UpdateProject(Command):
    """Change a project's name or text, hand it to another member, or change what a member is."""

    id: Ref
    name: str | None = None
    displaytext: str | None = None
    account: str | None = None
    userid: str | None = None
    roletype: str | None = None
    swapowner: bool = True

    def check(self) -> None:
        """Check the role."""
        if self.roletype is not None:
            self.roletype = changes.role_of(self.roletype)
        if self.account is not None and self.userid is not None:
            raise InvalidParameter("parameters account and userid exclude each other")

    def run(self, call: Call) -> Submission:
        values: dict[str, Any] = {}
        if self.name:
            _free_name(call, self.name, self.id.domain_id, but=self.id.id)
            values["name"] = self.name
        if self.displaytext is not None:
            values["display_text"] = self.displaytext
        if values and not change(call.db, project, self.id.id, expect={"removed": None}, **values):
            raise ConcurrentChange("the project was deleted meanwhile")
        if self.account is not None or self.userid is not None:
            changes.must_be_active(self.id)
            changes.lock(call.db, self.id)
            self._member(call)
        call.describe(f"updating project {self.id.name}")
        return end(call, self.id)

    def _member(self, call: Call) -> None:
        if self.userid is not None:
            found = changes.member_user(call.db, self.id, self.userid)
        else:
            named = changes.account_named(call.db, self.id, self.account or "")
            found = changes.find_member(call.db, self.id.id, named.id, None)
        if found is None:
            raise InvalidParameter("parameter account names no member of the project; add it to the project first")
        wanted = ADMIN if self.swapowner else (self.roletype or found.role)
        if wanted == ADMIN and found.role != ADMIN:
            limits.claim(call.db, found.member_account_id)
        if self.swapowner:
            call.db.execute(
                sa.update(project_member)
                .where(project_member.c.project_id == self.id.id, project_member.c.role == ADMIN)
                .values(role=REGULAR)
            )
        change(call.db, project_member, found.id, role=wanted)
        if not [member for member in changes.members_of(call.db, self.id.id) if member.role == ADMIN]:
            raise InvalidParameter("parameter roletype: the project would have no admin; make somebody else one first")


@command("activateProject", event="PROJECT.ACTIVATE")
class ActivateProject(Command):
    """Let a suspended project be used again; its machines stay as they are."""

    id: Ref

    def run(self, call: Call) -> Submission:
        if self.id.state != changes.ACTIVE and not change(
            call.db, project, self.id.id, expect={"state": changes.SUSPENDED}, state=changes.ACTIVE
        ):
            raise ConcurrentChange(f"project {self.id.name} is {self.id.state.lower()} and cannot be activated")
        call.describe(f"activating project {self.id.name}")
        return end(call, self.id)


@command("suspendProject", event="PROJECT.SUSPEND")
class SuspendProject(Command):
    """Stop a project's machines, and let it get nothing new until it is activated."""

    id: Ref

    def run(self, call: Call) -> Submission:
        if self.id.state != changes.SUSPENDED and not change(
            call.db, project, self.id.id, expect={"state": changes.ACTIVE}, state=changes.SUSPENDED
        ):
            raise ConcurrentChange(f"project {self.id.name} is {self.id.state.lower()} and cannot be suspended")
        call.describe(f"suspending project {self.id.name}")
        return end(call, self.id, workflows.suspend, account=self.id.account_id)


@command("deleteProject", event="PROJECT.DELETE")
class DeleteProject(Command):
    """Delete a project; with cleanup also everything that it owns."""

    id: Ref
    cleanup: bool = False

    def run(self, call: Call) -> Submission:
        left = [] if self.cleanup else cleanup.remains(call.db, self.id.account_id)
        if left:
            raise InUse(f"the project owns {', '.join(left)}; delete these first or pass cleanup=true")
        cleanup.refuse_visited(call.db, [self.id.account_id], f"project {self.id.name}")
        before = self.id.state
        if not change(call.db, project, self.id.id, expect={"state": before, "removed": None}, state=changes.DISABLED):
            raise ConcurrentChange("the project changed meanwhile; try again")
        call.describe(f"deleting project {self.id.name}")
        return end(
            call,
            self.id,
            workflows.delete,
            account=self.id.account_id,
            before=changes.SUSPENDED if before == changes.DISABLED else before,
            cleanup_=self.cleanup,
        )
