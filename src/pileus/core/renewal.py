"""A management server's own certificate: made, and renewed while the server runs."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from pileus.core import certificates, pki
from pileus.core.services import Services

log = structlog.get_logger(__name__)

LOOK_SECONDS = 3600.0


def renew(services: Services, authority: pki.Authority, folder: Path) -> None:
    """Make the server a new certificate in the authority's folder, and take note of it."""
    days = services.settings.get(certificates.VALIDITY_DAYS)
    signed = authority.issue_server(services.server, [], folder, days)
    with services.database.write() as db:
        certificates.record(db, signed)


def renew_due(services: Services, folder: Path, contexts: Sequence[ssl.SSLContext]) -> bool:
    """Renew the certificate when two thirds of its life are over; connections from then on use the new one."""
    certificate = folder / "server.crt"
    if certificate.exists() and not pki.renewal_due(certificate.read_text()):
        return False
    try:
        renew(services, pki.Authority.open(folder), folder)
    finally:  # the files may be new although no note was taken of them: they would not be due again
        for context in contexts:
            context.load_cert_chain(certificate, folder / "server.key")
    log.info("the server has a new certificate")
    return True


async def keep(
    services: Services, folder: Path, contexts: Sequence[ssl.SSLContext], pause: float = LOOK_SECONDS
) -> None:
    """Look after the certificate until cancelled."""
    while True:
        await asyncio.sleep(pause)
        try:
            await asyncio.to_thread(renew_due, services, folder, contexts)
        except (OSError, SQLAlchemyError) as error:
            log.error("the server's certificate could not be renewed; tried again", why=str(error))  # noqa: TRY400
