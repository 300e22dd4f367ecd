"""New passwords for who has forgotten the old one: a token goes by mail, is good once, and ends by itself.

Nobody learns from the answer, nor from how long it takes, whether there is such a user: every request writes a job,
and the job alone looks for the user.  Only a hash of the token is kept.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import smtplib
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlencode, urlsplit

import sqlalchemy as sa
import structlog
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import mailing, settings
from pileus.core.calls import Caller
from pileus.core.database import now
from pileus.core.errors import ResourceUnavailable, UnknownCommand
from pileus.core.jobs import Job, JobFailed, periodic, workflow
from pileus.core.services import Services
from pileus.identity import callers, store
from pileus.identity.tables import domain, password_reset, user

log = structlog.get_logger(__name__)

_TEMPLATE = """Hello {{firstName}},

a new password was asked for, for the user {{username}} of this cloud. Choose it on this page:

{{{resetLink}}}

or with the command resetPassword and this token: {{{token}}}

If it was not you who asked, do nothing: the old password stays.
"""

ENABLED = settings.declare(
    "user.password.reset.enabled", bool, False, "whether users who forgot their password get a new one by mail"
)
MINUTES = settings.declare(
    "user.password.reset.ttl", int, 30, "minutes for which a mailed token can set a new password", minimum=1
)
SENDER = settings.declare(
    "user.password.reset.email.sender",
    str,
    "",
    "address that these tokens are mailed from",
    check=mailing.one_address,
)


def _checked_site(text: str) -> None:
    parts = urlsplit(text)
    if text and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
        raise ValueError("must look like https://cloud.example.org, or be empty")


SITE = settings.declare(
    "user.password.reset.mail.domain.url",
    str,
    "",
    "address of the web interface, to which the mailed link leads, such as https://cloud.example.org",
    check=_checked_site,
)
TEMPLATE = settings.declare(
    "user.password.reset.mail.template",
    str,
    _TEMPLATE,
    "text of the mail; {{username}} {{firstName}} {{lastName}} {{{resetLink}}} {{{token}}} are filled in",
)
SMTP = mailing.declare_server("user.password.reset.smtp", "tokens for new passwords", port=25)

_PAGE = "/client/#/user/resetPassword"
_PLACE = re.compile(r"\{\{\{\s*(\w+)\s*\}\}\}|\{\{\s*(\w+)\s*\}\}")


def check_enabled(services: Services) -> None:
    """Refuse where passwords are not to be had by mail."""
    if not services.settings.get(ENABLED):
        raise UnknownCommand("new passwords by mail are switched off here (setting user.password.reset.enabled)")


def check_set_up(services: Services) -> None:
    """Refuse where nothing could be mailed."""
    if SMTP.server(services) is None or not services.settings.get(SITE):
        raise ResourceUnavailable(
            "nothing can be mailed: the settings user.password.reset.smtp.host and user.password.reset.mail.domain.url "
            "are both needed"
        )


def find(db: Connection, username: str, path: str) -> tuple[Row[Any], Caller] | None:
    """Return the user of this name in the domain with this path, if the user may sign in."""
    found = sa.select(user).join(domain, domain.c.id == user.c.domain_id)
    row = db.execute(
        found.where(
            user.c.username == username, user.c.source == "native", user.c.removed.is_(None), domain.c.path == path
        )
    ).one_or_none()
    if row is None or row.id == store.SYSTEM_USER:
        return None
    caller = callers.find(db, row.id)
    return (row, caller) if caller is not None else None


def is_good(db: Connection, user_id: int, token: str) -> bool:
    """Tell whether a token can set this user's password now."""
    row = db.execute(sa.select(password_reset).where(password_reset.c.user_id == user_id)).one_or_none()
    return row is not None and row.expires > now() and hmac.compare_digest(row.token_hash, hash_of(token))


def use_up(db: Connection, user_id: int, token: str) -> bool:
    """Take a token, so that nobody can use it again; tell whether it was still good."""
    mine = (password_reset.c.user_id == user_id, password_reset.c.token_hash == hash_of(token))
    return db.execute(sa.delete(password_reset).where(*mine, password_reset.c.expires > now())).rowcount == 1


def drop(db: Connection, user_id: int) -> None:
    """Let the mailed token of a user end, if there is one."""
    db.execute(sa.delete(password_reset).where(password_reset.c.user_id == user_id))


def hash_of(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


@workflow("user.mail-token")
def mail_token(job: Job, username: str, path: str) -> None:
    """Mail a token to a user, if there is one of this name who has an address."""
    job.local("mail", lambda: _mail(job.services, username, path))
    job.finish("mailed", lambda _db: None)


def _mail(services: Services, username: str, path: str) -> None:
    through = SMTP.server(services)
    if through is None:
        raise JobFailed("the setting user.password.reset.smtp.host names no mail server any more", code=431)
    token = secrets.token_urlsafe(32)
    with services.database.write() as db:
        found = find(db, username, path)
        row = found[0] if found is not None else None
        if row is None or "@" not in row.email:
            log.info("no token for a new password is mailed: no such user, or no address", username=username)
            return
        drop(db, row.id)
        expires = now() + services.settings.get(MINUTES) * 60
        db.execute(sa.insert(password_reset).values(user_id=row.id, token_hash=hash_of(token), expires=expires))
    try:
        mailing.send(through, [_message(services, row, path, token)])
    except (smtplib.SMTPException, OSError, ValueError) as error:  # ValueError: an address that is none
        raise JobFailed(f"the token could not be mailed through {through.host}: {error}", code=530) from error


def _message(services: Services, row: Row[Any], path: str, token: str) -> EmailMessage:
    read = services.settings.get
    link = read(SITE).rstrip("/") + _PAGE + "?" + urlencode({"username": row.username, "domain": path, "token": token})
    names = {
        "username": row.username,
        "firstName": row.firstname,
        "lastName": row.lastname,
        "resetLink": link,
        "token": token,
    }
    message = EmailMessage()
    message["Subject"] = "A new password for the cloud"
    message["From"] = read(SENDER) or row.email
    message["To"] = row.email
    message.set_content(filled(read(TEMPLATE), names))
    return message


def filled(template: str, names: dict[str, str]) -> str:
    """Return a template with its {{names}} filled in; unknown ones become nothing, as in Mustache.

    The mail is plain text, so nothing is escaped: two and three braces are the same.
    """
    return _PLACE.sub(lambda match: names.get(match[1] or match[2], ""), template)


@periodic("identity.password-resets", every=3600)
def sweep(services: Services) -> None:
    """Delete tokens that have ended."""
    with services.database.write() as db:
        db.execute(sa.delete(password_reset).where(password_reset.c.expires < now()))
