"""Settings of projects, and the mail server that their invitations go through."""

from __future__ import annotations

from pileus.core.mailing import Server
from pileus.core.services import Services
from pileus.core.settings import declare

USERS_CREATE = declare("allow.user.create.projects", bool, True, "whether ordinary users may create projects")
INVITE = declare("project.invite.required", bool, False, "whether new members are invited instead of simply added")
INVITE_SECONDS = declare(
    "project.invite.timeout", int, 86_400, "seconds after which an unanswered invitation expires", minimum=1
)
SENDER = declare("project.email.sender", str, "", "address that invitations are mailed from")
HOST = declare("project.smtp.host", str, "", "SMTP server that mails invitations; empty = none")
PORT = declare("project.smtp.port", int, 465, "port of the SMTP server for invitations", minimum=1, maximum=65535)
USE_AUTH = declare("project.smtp.useAuth", bool, False, "sign in at that server with user name and password")
USERNAME = declare("project.smtp.username", str, "", "user name at that server")
PASSWORD = declare("project.smtp.password", str, "", "password at that server", secure=True)
START_TLS = declare("project.smtp.useStartTLS", bool, False, "turn on TLS (STARTTLS) at that server first")


def server(services: Services) -> Server | None:
    """Return the SMTP server that the settings name, if they name one."""
    read = services.settings.get
    if not read(HOST):
        return None
    auth = read(USE_AUTH)
    return Server(
        host=read(HOST),
        port=read(PORT),
        start_tls=read(START_TLS),
        username=read(USERNAME) if auth else "",
        password=services.settings.secret(PASSWORD, services.secrets) if auth else "",
    )
