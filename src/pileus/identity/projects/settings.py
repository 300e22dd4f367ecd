"""Settings of projects, and the mail server that their invitations go through."""

from __future__ import annotations

from pileus.core.mailing import IMPLICIT_TLS_PORT, declare_server, one_address
from pileus.core.settings import declare

USERS_CREATE = declare("allow.user.create.projects", bool, True, "whether ordinary users may create projects")
INVITE = declare("project.invite.required", bool, False, "whether new members are invited instead of simply added")
INVITE_SECONDS = declare(
    "project.invite.timeout", int, 86_400, "seconds after which an unanswered invitation expires", minimum=1
)
SENDER = declare("project.email.sender", str, "", "address that invitations are mailed from", check=one_address)
SMTP = declare_server("project.smtp", "invitations", port=IMPLICIT_TLS_PORT)
