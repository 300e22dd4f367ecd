"""What the cloud's authority has signed: kept with its end, so that it can be renewed in time, and revoked."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from cryptography import x509
from cryptography.x509.oid import NameOID
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.jobs import periodic
from pileus.core.services import Services
from pileus.core.settings import declare
from pileus.core.statements import Fixed, equal
from pileus.core.tables import certificate

VALIDITY_DAYS = declare(
    "ca.framework.cert.validity.period",
    int,
    365,
    "days for which certificates that the cloud's authority signs are good",
    minimum=1,
    maximum=3650,
)

_FORGET_SECONDS = 30 * 86400.0  # after its end a certificate is refused anyhow

_by_serial = Fixed(sa.select(certificate).where(equal(certificate.c.serial, "serial")))
_newest = Fixed(
    sa.select(certificate).where(equal(certificate.c.name, "name")).order_by(certificate.c.id.desc()).limit(1)
)


def record(db: Connection, pem: str) -> str:
    """Take note of a certificate that was signed; return its serial number."""
    parsed = x509.load_pem_x509_certificate(pem.encode())
    serial = format(parsed.serial_number, "x")
    database.insert(
        db,
        certificate,
        serial=serial,
        name=str(parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value),
        issued=database.now(),
        expires=parsed.not_valid_after_utc.timestamp(),
    )
    return serial


def find(db: Connection, serial: str) -> Row[Any] | None:
    """Return what is known of a certificate, None when nothing is."""
    return _by_serial(db, {"serial": serial}).one_or_none()


def revoked(services: Services, serial: str) -> bool:
    """Tell whether a certificate was revoked; asked anew each time, so that it holds at once on every server."""
    with services.database.read() as db:
        row = find(db, serial)
    return row is not None and row.revoked is not None


def newest_revoked(db: Connection, name: str) -> bool:
    """Tell whether the newest certificate of this name was revoked."""
    row = _newest(db, {"name": name}).one_or_none()
    return row is not None and row.revoked is not None


def revoke(db: Connection, serial: str, name: str) -> None:
    """Let a certificate be refused from now on; one that nobody took note of is known by its serial alone."""
    moment = database.now()
    row = find(db, serial)
    if row is None:
        database.insert(db, certificate, serial=serial, name=name, revoked=moment)
    elif row.revoked is None:
        database.change(db, certificate, row.id, revoked=moment)


@periodic("ca.forget", every=86400)
def forget(services: Services) -> None:
    """Delete what is known of certificates that ended long ago."""
    with services.database.write() as db:
        db.execute(sa.delete(certificate).where(certificate.c.expires < database.now() - _FORGET_SECONDS))
