"""Invitations to projects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement
from sqlalchemy.engine import Row

from pileus.core import entities
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.database import change, get
from pileus.core.errors import ConcurrentChange, InvalidParameter, PermissionDenied
from pileus.core.jobs import Submission
from pileus.core.listing import OwnedListCommand, Query
from pileus.core.parameters import Ref
from pileus.identity import store
from pileus.identity.projects import changes, inviting, workflows
from pileus.identity.projects import views as project_views
from pileus.identity.projects.commands.projects import end
from pileus.identity.projects.tables import project, project_invitation
from pileus.identity.tables import account

_NONE = "parameter projectid: the project has no unanswered invitation for"


@command("listProjectInvitations")
class ListProjectInvitations(OwnedListCommand):
    """List invitations: the caller's own, or those of a project that the caller manages."""

    id: Ref | None = None
    userid: Ref | None = None
    state: str | None = None
    activeonly: bool = False

    def query(self, call: Call) -> Query:
        """Return the invitations that match."""
        columns = project_invitation.c
        query = Query(project_invitation).equals(columns.id, self.id).equals(columns.user_id, self.userid)
        overdue = sa.and_(columns.state == inviting.PENDING, columns.created < inviting.expired_before(call))
        if self.activeonly:
            query.where(columns.state == inviting.PENDING, sa.not_(overdue))
        if self.state is not None:
            query.where(_in_state(self.state, overdue))
        query.contains(self.keyword, columns.email)
        if self.id is not None:
            return query
        if isinstance(self.projectid, Row):
            of: Row[Any] = self.projectid
            query.where(columns.project_id == of.id)
            return query if store.manages_project(call.db, call.caller, of) else query.where(_mine(call))
        if self.listall or self.account is not None or self.domainid is not None:
            self.projectid = None
            return self.owned(call, query)
        return query.where(_mine(call))

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        before = inviting.expired_before(call)
        answers = project_views.invitations(call.db, rows)
        for row, answer in zip(rows, answers, strict=True):
            if row.state == inviting.PENDING and row.created < before:
                answer["state"] = inviting.EXPIRED
        return answers


def _in_state(text: str, overdue: ColumnElement[bool]) -> ColumnElement[bool]:
    same = sa.func.lower(project_invitation.c.state) == text.lower()
    if text.lower() == inviting.PENDING.lower():
        return sa.and_(same, sa.not_(overdue))
    return sa.or_(same, overdue) if text.lower() == inviting.EXPIRED.lower() else same


def _mine(call: Call) -> ColumnElement[bool]:
    columns = project_invitation.c
    return sa.and_(
        columns.account_id == call.caller.account_id,
        sa.or_(columns.user_id.is_(None), columns.user_id == call.caller.user_id),
    )


@command("deleteProjectInvitation", event="PROJECT.INVITATION.REMOVE")
class DeleteProjectInvitation(Command):
    """Take an invitation back."""

    id: Ref

    def run(self, call: Call) -> Submission:
        call.db.execute(sa.delete(project_invitation).where(project_invitation.c.id == self.id.id))
        of = get(call.db, project, self.id.project_id)
        if of is None:
            raise ConcurrentChange("the project was deleted meanwhile")
        call.describe(f"taking back an invitation to project {of.name}")
        return end(call, of, workflows.done)


@command("updateProjectInvitation", event="PROJECT.INVITATION.UPDATE")
class UpdateProjectInvitation(Command):
    """Accept or decline an invitation: that of the caller's account, or the one that a mailed token is for."""

    projectid: str
    account: str | None = None
    userid: Ref | None = None
    token: str | None = None
    accept: bool = True

    def run(self, call: Call) -> Submission:
        of = entities.find(call.db, "Project", self.projectid)
        if of is None:
            raise InvalidParameter(f"parameter projectid names no project ({self.projectid[:64]})")
        invitation, account_id, user_id = self._find(call, of)
        if invitation.created < inviting.expired_before(call):
            raise InvalidParameter("the invitation has expired; ask an admin of the project for another one")
        if not change(
            call.db,
            project_invitation,
            invitation.id,
            expect={"state": inviting.PENDING},
            state=inviting.COMPLETED if self.accept else inviting.DECLINED,
            token_hash=None,
        ):
            raise ConcurrentChange("the invitation was answered meanwhile")
        if self.accept:
            changes.must_be_active(of)
            changes.add_member(
                call.db, of, account_id, user_id, role=invitation.role, project_role_id=invitation.project_role_id
            )
        call.describe(f"{'accepting' if self.accept else 'declining'} an invitation to project {of.name}")
        return end(call, of, workflows.done)

    def _find(self, call: Call, of: Row[Any]) -> tuple[Row[Any], int, int | None]:
        """Return the invitation, and the account and perhaps user that it makes a member."""
        columns = project_invitation.c
        caller = call.caller
        statement = sa.select(project_invitation).where(columns.project_id == of.id, columns.state == inviting.PENDING)
        account_id = self._account(call, of)
        if self.token is not None:
            found = call.db.execute(statement.where(columns.token_hash == workflows.hash_of(self.token))).one_or_none()
            if found is None:
                raise InvalidParameter("parameter token belongs to no unanswered invitation to the project")
            if found.account_id not in (None, account_id) or found.user_id not in (None, caller.user_id):
                raise PermissionDenied("parameter token is for another account or user")
            return found, account_id, found.user_id
        if self.userid is not None and self.userid.account_id != account_id:
            account_id = self.userid.account_id
        user_id = self.userid.id if self.userid is not None else caller.user_id
        mine = sa.or_(columns.user_id.is_(None), columns.user_id == user_id)
        found = call.db.execute(
            statement.where(columns.account_id == account_id, mine).order_by(columns.user_id.is_(None)).limit(1)
        ).one_or_none()
        if found is None:
            raise InvalidParameter(f"{_NONE} {self.account or caller.account}")
        return found, account_id, found.user_id

    def _account(self, call: Call, of: Row[Any]) -> int:
        if self.account is None:
            return call.caller.account_id
        found = call.db.execute(
            sa.select(account).where(
                account.c.name == self.account, account.c.domain_id == of.domain_id, account.c.removed.is_(None)
            )
        ).one_or_none()
        if found is None or not store.uses_account(call.db, call.caller, found):
            raise InvalidParameter(f"{_NONE} {self.account[:64]}")
        return int(found.id)
