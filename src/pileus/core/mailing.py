"""Mail: alerts go to the operators' addresses by SMTP, soon after they are raised, each once.

Who is told and through which server are settings; without an address or a server nothing is sent.  The password is
encrypted like every secret.  A server that does not answer is tried again; after MOST_TRIES an alert stays unmailed.
"""

from __future__ import annotations

import smtplib
from collections.abc import Sequence
from email.message import EmailMessage
from typing import Any

import msgspec
import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Row

from pileus.core import alerts
from pileus.core.database import now
from pileus.core.jobs import periodic
from pileus.core.services import Services
from pileus.core.settings import declare
from pileus.core.tables import alert

log = structlog.get_logger(__name__)

EVERY_SECONDS = 5.0
MOST_TRIES = 10
BATCH = 100

ADDRESSES = declare("alert.email.addresses", str, "", "addresses that alerts are mailed to, by commas; empty = nobody")
SENDER = declare("alert.email.sender", str, "", "address that alerts are mailed from")
HOST = declare("alert.smtp.host", str, "", "SMTP server that mails alerts; empty = none")
PORT = declare("alert.smtp.port", int, 465, "port of the SMTP server", minimum=1, maximum=65535)
USE_AUTH = declare("alert.smtp.useAuth", bool, False, "sign in at the SMTP server with user name and password")
USERNAME = declare("alert.smtp.username", str, "", "user name at the SMTP server")
PASSWORD = declare("alert.smtp.password", str, "", "password at the SMTP server", secure=True)
START_TLS = declare("alert.smtp.useStartTLS", bool, False, "turn on TLS (STARTTLS) before anything else is said")
CONNECT_MS = declare(
    "alert.smtp.connectiontimeout", int, 30_000, "milliseconds that connecting to the SMTP server may take", minimum=1
)
TIMEOUT_MS = declare("alert.smtp.timeout", int, 30_000, "milliseconds that an answer of it may take", minimum=1)


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """An SMTP server and how to use it; times in seconds."""

    host: str
    port: int
    connect_timeout: float = 30.0
    timeout: float = 30.0
    start_tls: bool = False
    username: str = ""
    password: str = ""


def server(services: Services) -> Server | None:
    """Return the SMTP server that the settings name, if they name one."""
    read = services.settings.get
    if not read(HOST):
        return None
    auth = read(USE_AUTH)
    return Server(
        host=read(HOST),
        port=read(PORT),
        connect_timeout=read(CONNECT_MS) / 1000,
        timeout=read(TIMEOUT_MS) / 1000,
        start_tls=read(START_TLS),
        username=read(USERNAME) if auth else "",
        password=services.settings.secret(PASSWORD, services.secrets) if auth else "",
    )


def send(through: Server, messages: Sequence[EmailMessage]) -> None:
    """Send messages over one connection (smtplib.SMTPException or OSError when that fails)."""
    with smtplib.SMTP(through.host, through.port, timeout=through.connect_timeout) as client:
        if client.sock is not None:
            client.sock.settimeout(through.timeout)
        if through.start_tls:
            client.starttls()
        if through.username:
            client.login(through.username, through.password)
        for message in messages:
            client.send_message(message)


@periodic("core.alert-mail", every=EVERY_SECONDS)
def mail_alerts(services: Services) -> None:
    """Mail the alerts that were raised since the last time."""
    through = server(services)
    to = [address.strip() for address in services.settings.get(ADDRESSES).split(",") if address.strip()]
    if through is None or not to:
        return
    new = sa.select(alert).where(
        alert.c.mailed.is_(None), alert.c.archived.is_(False), alert.c.mail_tries < MOST_TRIES,
        alert.c.created > now() - 86_400,  # who names a server today is not told of last year
    )  # fmt: skip
    with services.database.read() as db:
        rows = db.execute(new.order_by(alert.c.id).limit(BATCH)).all()
    if not rows:
        return
    sender = services.settings.get(SENDER) or to[0]
    values: dict[str, Any] = {"mailed": now()}
    try:
        send(through, [_message(row, sender, to) for row in rows])
    except (smtplib.SMTPException, OSError) as error:
        log.warning("alerts could not be mailed; they are tried again", server=through.host, why=str(error))
        values = {"mail_tries": alert.c.mail_tries + 1}
    with services.database.write() as db:
        db.execute(sa.update(alert).where(alert.c.id.in_([row.id for row in rows])).values(**values))


def _message(row: Row[Any], sender: str, to: Sequence[str]) -> EmailMessage:
    message = EmailMessage()
    number_of = {number: name for name, number in alerts.TYPES.items()}
    message["Subject"] = f"[Pileus] {' '.join(row.name.split())}"[:200]
    message["From"] = sender
    message["To"] = ", ".join(to)
    message.set_content(f"{row.description}\n\nType: {number_of.get(row.type, row.type)}\nAlert: {row.uuid}\n")
    return message
