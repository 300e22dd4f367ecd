"""Jobs of projects: what takes time (machines that stop, clean-up, mail), and the ends of short commands."""

from __future__ import annotations

import hashlib
import secrets
import smtplib
from email.message import EmailMessage
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pileus.core import mailing
from pileus.core.database import change, one
from pileus.core.errors import InUse
from pileus.core.jobs import Job, JobFailed, workflow
from pileus.core.services import Services
from pileus.identity import cleanup
from pileus.identity.projects import changes, settings, views
from pileus.identity.projects.tables import project, project_invitation
from pileus.identity.workflows import remove_account


def key(project_id: int) -> str:
    """Return the key under which all jobs of a project run one after another."""
    return f"project:{project_id}"


def _shown(db: Connection, project_id: int) -> dict[str, Any]:
    return {"project": views.projects(db, [one(db, project, project_id)])[0]}


@workflow("project.show")
def show(job: Job, project: int) -> None:
    """End with the project as it is: all was done when the job was submitted."""
    job.finish("shown", lambda db: _shown(db, project))


@workflow("project.done")
def done(job: Job, project: int) -> None:
    """End with success: all was done when the job was submitted."""
    del project
    job.finish("done", lambda _db: None)


def _resumed(job: Job, db: Connection, _error: JobFailed) -> None:
    change(db, project, job.arguments["project"], expect={"state": changes.SUSPENDED}, state=changes.ACTIVE)


@workflow("project.suspend", on_failure=_resumed)
def suspend(job: Job, project: int, account: int) -> None:
    """Stop all machines of a project that has been marked as suspended."""
    cleanup.pause(job, account)
    job.finish("suspended", lambda db: _shown(db, project))


def _kept(job: Job, db: Connection, _error: JobFailed) -> None:
    change(db, project, job.arguments["project"], expect={"state": changes.DISABLED}, state=job.arguments["before"])


@workflow("project.delete", on_failure=_kept)
def delete(job: Job, project: int, account: int, before: str, cleanup_: bool) -> None:
    """Delete a project, with ``cleanup_`` after everything that it owns; ``before``: its state if that fails."""
    del before
    if cleanup_:
        cleanup.run(job, account)

    def finish(db: Connection) -> None:
        left = cleanup.remains(db, account)
        if left:
            raise InUse(f"the project still owns {', '.join(left)}; delete these first or pass cleanup=true")
        remove_account(db, account)

    job.finish("removed", finish)


def _not_invited(job: Job, db: Connection, _error: JobFailed) -> None:
    db.execute(sa.delete(project_invitation).where(project_invitation.c.id == job.arguments["invitation"]))


@workflow("project.invite", on_failure=_not_invited)
def invite(job: Job, project: int, invitation: int) -> None:
    """Mail an invitation with a token that accepts it; only the token's hash is kept."""
    job.local("mail", lambda: _mail(job.services, project, invitation))
    job.finish("invited", lambda _db: None)


def _mail(services: Services, project_id: int, invitation_id: int) -> None:
    token = secrets.token_urlsafe(16)
    with services.database.write() as db:
        of = one(db, project, project_id)
        row = one(db, project_invitation, invitation_id)
        change(db, project_invitation, invitation_id, token_hash=hash_of(token))
    through = settings.SMTP.server(services)
    if through is None:
        raise JobFailed("the setting project.smtp.host names no mail server any more", code=431)
    message = EmailMessage()
    message["Subject"] = f"You are invited to join the project {' '.join(of.name.split())}"[:200]
    message["From"] = services.settings.get(settings.SENDER) or row.email
    message["To"] = row.email
    message.set_content(
        f"You have been invited to join the cloud project {of.name}.\n\n"
        "Sign in and accept with updateProjectInvitation:\n\n"
        f"Project: {of.uuid}\nToken: {token}\n"
    )
    try:
        mailing.send(through, [message])
    except (smtplib.SMTPException, OSError) as error:
        raise JobFailed(f"the invitation could not be mailed through {through.host}: {error}", code=530) from error


def hash_of(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()
