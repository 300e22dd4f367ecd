"""Members of projects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter, MissingParameter
from pileus.core.jobs import Submission
from pileus.core.listing import ListCommand, Query
from pileus.core.parameters import Ref
from pileus.identity.projects import changes, inviting, settings, views, workflows
from pileus.identity.projects.commands.projects import end
from pileus.identity.projects.tables import project_member
from pileus.identity.tables import account, user


def _add(call: Call, of: Row[Any], new: inviting.New) -> Submission:
    """Add a member, or invite it where the cloud wants it to agree first."""
    changes.must_be_active(of)
    if not call.services.settings.get(settings.INVITE):
        if new.account_id is None:
            raise MissingParameter(
                "parameter account is missing; with the setting project.invite.required members may be invited by mail"
            )
        changes.add_member(call.db, of, new.account_id, new.user_id, role=new.role, project_role_id=new.project_role_id)
        return end(call, of, workflows.done)
    invitation = inviting.invite(call, of, new)
    if new.email is not None:
        return end(call, of, workflows.invite, invitation=invitation)
    return end(call, of, workflows.done)


@command("addAccountToProject", event="PROJECT.ACCOUNT.ADD", manage=["projectid"])
class AddAccountToProject(Command):
    """Make an account with all its users a member of a project, or invite it."""

    projectid: Ref
    account: str | None = None
    email: str | None = None
    projectroleid: Ref | None = None
    roletype: str | None = None

    def check(self) -> None:
        """Check the role and the address."""
        self.role = changes.role_of(self.roletype)
        inviting.check_email(self.email)
        if not self.account and not self.email:
            raise MissingParameter("parameter account or email is needed")

    def run(self, call: Call) -> Submission:
        of = self.projectid
        account_id = changes.account_named(call.db, of, self.account).id if self.account else None
        call.describe(f"adding {self.account or self.email} to project {of.name}")
        new = inviting.New(
            account_id=account_id,
            user_id=None,
            email=self.email or None,
            role=self.role,
            project_role_id=changes.check_project_role(of, self.projectroleid),
        )
        return _add(call, of, new)


@command("addUserToProject", event="PROJECT.USER.ADD", manage=["projectid"])
class AddUserToProject(Command):
    """Make a single user a member of a project, or invite that user."""

    projectid: Ref
    username: str
    email: str | None = None
    projectroleid: Ref | None = None
    roletype: str | None = None

    def check(self) -> None:
        """Check the role and the address."""
        self.role = changes.role_of(self.roletype)
        inviting.check_email(self.email)

    def run(self, call: Call) -> Submission:
        of = self.projectid
        member = changes.user_named(call.db, of, self.username)
        call.describe(f"adding user {self.username} to project {of.name}")
        new = inviting.New(
            account_id=member.account_id,
            user_id=member.id,
            email=self.email or None,
            role=self.role,
            project_role_id=changes.check_project_role(of, self.projectroleid),
        )
        return _add(call, of, new)


@command("deleteAccountFromProject", event="PROJECT.ACCOUNT.REMOVE", manage=["projectid"])
class DeleteAccountFromProject(Command):
    """End an account's membership of a project."""

    projectid: Ref
    account: str

    def run(self, call: Call) -> Submission:
        of = self.projectid
        member = changes.find_member(call.db, of.id, changes.account_named(call.db, of, self.account).id, None)
        if member is None:
            raise InvalidParameter(f"parameter account: {self.account[:64]} is no member of the project")
        changes.remove_member(call.db, of, member)
        call.describe(f"removing account {self.account} from project {of.name}")
        return end(call, of, workflows.done)


@command("deleteUserFromProject", event="PROJECT.USER.REMOVE", manage=["projectid"])
class DeleteUserFromProject(Command):
    """End a user's own membership of a project."""

    projectid: Ref
    userid: str

    def run(self, call: Call) -> Submission:
        of = self.projectid
        changes.remove_member(call.db, of, changes.member_user(call.db, of, self.userid))
        call.describe(f"removing a user from project {of.name}")
        return end(call, of, workflows.done)


@command("listProjectAccounts")
class ListProjectAccounts(ListCommand):
    """List the members of a project."""

    projectid: Ref
    account: str | None = None
    userid: str | None = None
    role: str | None = None
    projectroleid: Ref | None = None

    def query(self, call: Call) -> Query:
        """Return the members that match."""
        columns = project_member.c
        query = Query(project_member).equals(columns.project_id, self.projectid).same(columns.role, self.role)
        query.equals(columns.project_role_id, self.projectroleid)
        if self.userid is not None:
            query.where(columns.member_user_id.in_(sa.select(user.c.id).where(user.c.uuid == self.userid.lower())))
        if self.account is not None:
            named = sa.select(account.c.id).where(account.c.name == self.account)
            query.where(columns.member_account_id.in_(named))
        if self.keyword:
            like = account.c.name.icontains(self.keyword, autoescape=True)
            query.where(columns.member_account_id.in_(sa.select(account.c.id).where(like)))
        return query

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        return views.members(call.db, rows, admin=call.caller.admin)
