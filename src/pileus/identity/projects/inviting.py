"""Invitations: a member is added once the account (or whoever has the mailed token) agrees."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Row

from pileus.core.calls import Call
from pileus.core.database import insert, new_uuid, now
from pileus.core.errors import InvalidParameter
from pileus.identity.projects import changes, settings
from pileus.identity.projects.tables import project_invitation

PENDING, COMPLETED, DECLINED, EXPIRED = "Pending", "Completed", "Declined", "Expired"

_EMAIL = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+")


class New(msgspec.Struct, frozen=True, kw_only=True):
    """Who shall become a member of a project, and as what."""

    account_id: int | None
    user_id: int | None
    email: str | None
    role: str
    project_role_id: int | None


def check_email(text: str | None) -> None:
    """Check that a mail address looks like one."""
    if text and not _EMAIL.fullmatch(text):
        raise InvalidParameter(f"parameter email must be a mail address, not {text[:60]!r}")


def expired_before(call: Call) -> float:
    """Return the time before which unanswered invitations have expired."""
    return now() - call.services.settings.get(settings.INVITE_SECONDS)


def expire(call: Call, project_id: int) -> None:
    """Mark the invitations that nobody has answered in time."""
    columns = project_invitation.c
    call.db.execute(
        sa.update(project_invitation)
        .where(columns.project_id == project_id, columns.state == PENDING, columns.created < expired_before(call))
        .values(state=EXPIRED)
    )


def invite(call: Call, of: Row[Any], new: New) -> int:
    """Write an invitation; refused where there is one already, or the membership itself."""
    changes.lock(call.db, of)
    expire(call, of.id)
    columns = project_invitation.c
    same = [columns.project_id == of.id, columns.state == PENDING]
    if new.account_id is not None:
        if changes.find_member(call.db, of.id, new.account_id, new.user_id) is not None:
            raise InvalidParameter(f"project {of.name} has this member already")
        same.append(columns.account_id == new.account_id)
        same.append(columns.user_id.is_(None) if new.user_id is None else columns.user_id == new.user_id)
    else:
        same.append(columns.email == new.email)
    if call.db.execute(sa.select(columns.id).where(*same)).first() is not None:
        raise InvalidParameter(
            "there is an unanswered invitation already; delete it with deleteProjectInvitation first"
        )
    if new.email is not None and settings.SMTP.server(call.services) is None:
        raise InvalidParameter("parameter email: the setting project.smtp.host names no mail server")
    return insert(
        call.db,
        project_invitation,
        uuid=new_uuid(),
        project_id=of.id,
        domain_id=of.domain_id,
        state=PENDING,
        created=now(),
        **msgspec.structs.asdict(new),
    )
