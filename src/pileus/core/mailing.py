"""Mail: alerts go to the operators' addresses by SMTP, soon after they are raised, each once.

Who is told and through which server are settings; without an address or a server nothing is sent.  The password is
encrypted like every secret.  A server that does not answer is tried again; after MOST_TRIES an alert stays unmailed.
"""

from __future__ import annotations

import re
import smtplib
import ssl
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
from pileus.core.settings import Setting, declare
from pileus.core.tables import alert

log = structlog.get_logger(__name__)

EVERY_SECONDS = 5.0
MOST_TRIES = 10
BATCH = 100

IMPLICIT_TLS_PORT = 465
"""On this port TLS begins before SMTP does (RFC 8314, section 3.3)."""

PROTOCOLS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
"""Versions of TLS that a setting may name; older ones are broken."""


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """An SMTP server and how to use it; times in seconds."""

    host: str
    port: int
    connect_timeout: float = 30.0
    timeout: float = 30.0
    start_tls: bool = False
    protocols: str = ""  # versions of TLS by blanks; "" = any that are safe
    username: str = ""
    password: str = ""


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that name an SMTP server, by their common beginning."""

    host: Setting[str]
    port: Setting[int]
    use_auth: Setting[bool]
    username: Setting[str]
    password: Setting[str]
    start_tls: Setting[bool]
    protocols: Setting[str]
    connect_ms: Setting[int] | None = None
    timeout_ms: Setting[int] | None = None

    def server(self, services: Services) -> Server | None:
        """Return the SMTP server that the settings name, if they name one."""
        read = services.settings.get
        if not read(self.host):
            return None
        auth = read(self.use_auth)
        return Server(
            host=read(self.host),
            port=read(self.port),
            connect_timeout=read(self.connect_ms) / 1000 if self.connect_ms is not None else 30.0,
            timeout=read(self.timeout_ms) / 1000 if self.timeout_ms is not None else 30.0,
            start_tls=read(self.start_tls),
            protocols=read(self.protocols),
            username=read(self.username) if auth else "",
            password=services.settings.secret(self.password, services.secrets) if auth else "",
        )


def declare_server(begin: str, mails: str, *, port: int, timeouts: bool = False) -> Declared:
    """Declare the settings of an SMTP server; ``begin``: of their names, ``mails``: what goes through it."""

    def milliseconds(name: str, text: str) -> Setting[int] | None:
        if not timeouts:
            return None
        return declare(f"{begin}.{name}", int, 30_000, f"milliseconds that {text} may take", minimum=1)

    return Declared(
        host=declare(f"{begin}.host", str, "", f"SMTP server that mails {mails}; empty = none"),
        port=declare(
            f"{begin}.port", int, port, f"port of that server; {IMPLICIT_TLS_PORT} = TLS from the first byte on",
            minimum=1, maximum=65535,
        ),
        use_auth=declare(f"{begin}.useAuth", bool, False, "sign in at that server with user name and password"),
        username=declare(f"{begin}.username", str, "", "user name at that server"),
        password=declare(f"{begin}.password", str, "", "password at that server", secure=True),
        start_tls=declare(
            f"{begin}.useStartTLS", bool, False, "turn on TLS (STARTTLS) at that server before anything else is said"
        ),
        protocols=declare(
            f"{begin}.enabledSecurityProtocols",
            str,
            "",
            "versions of TLS to that server, by blanks (TLSv1.2 TLSv1.3); empty = both",
            check=check_protocols,
        ),
        connect_ms=milliseconds("connectiontimeout", "connecting to that server"),
        timeout_ms=milliseconds("timeout", "an answer of that server"),
    )  # fmt: skip


def check_protocols(text: str) -> None:
    """Check a list of versions of TLS (ValueError)."""
    if not set(text.split()) <= set(PROTOCOLS):
        raise ValueError(f"must be versions of TLS by blanks, of {' and '.join(PROTOCOLS)}")


_ADDRESS = re.compile(r"[^\s@,<>]+@[^\s@,<>]+")


def one_address(text: str) -> None:
    """Check the address of a sender, or nothing (ValueError, saying what would be right)."""
    if text and not _ADDRESS.fullmatch(text):
        raise ValueError("must be one address, such as cloud@example.org, or empty")


def _addresses(text: str) -> None:
    for part in filter(None, text.split(",")):
        if not _ADDRESS.fullmatch(part.strip()):
            raise ValueError("must be addresses separated by commas, such as a@example.org,b@example.org, or empty")


ADDRESSES = declare(
    "alert.email.addresses",
    str,
    "",
    "addresses that alerts are mailed to, by commas; empty = nobody",
    check=_addresses,
)
SENDER = declare("alert.email.sender", str, "", "address that alerts are mailed from", check=one_address)
SMTP = declare_server("alert.smtp", "alerts", port=IMPLICIT_TLS_PORT, timeouts=True)


def send(through: Server, messages: Sequence[EmailMessage]) -> None:
    """Send messages over one connection (smtplib.SMTPException or OSError when that fails).

    With TLS the server must show a certificate for its name from an authority that this machine trusts.
    """
    with _connected(through) as client:
        if client.sock is not None:
            client.sock.settimeout(through.timeout)
        if through.start_tls and through.port != IMPLICIT_TLS_PORT:
            client.starttls(context=_context(through))
        if through.username:
            client.login(through.username, through.password)
        for message in messages:
            client.send_message(message)


def _connected(through: Server) -> smtplib.SMTP:
    if through.port == IMPLICIT_TLS_PORT:
        limit = through.connect_timeout
        return smtplib.SMTP_SSL(through.host, through.port, timeout=limit, context=_context(through))
    return smtplib.SMTP(through.host, through.port, timeout=through.connect_timeout)


def _context(through: Server) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    chosen = [PROTOCOLS[name] for name in through.protocols.split()]
    if chosen:
        context.minimum_version, context.maximum_version = min(chosen), max(chosen)
    return context


@periodic("core.alert-mail", every=EVERY_SECONDS)
def mail_alerts(services: Services) -> None:
    """Mail the alerts that were raised since the last time."""
    through = SMTP.server(services)
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
