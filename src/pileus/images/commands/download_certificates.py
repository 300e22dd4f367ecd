"""Certificates by which a zone trusts HTTPS servers of templates that no well-known authority vouches for.

In CloudStack hosts fetch such templates themselves and hold the certificates; here the management servers fetch all
templates, so that no host holds any and there is nothing to provision on one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import database
from pileus.core.calls import Call, Listed
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter
from pileus.core.listing import ListCommand, Query, related
from pileus.core.parameters import Ref
from pileus.images.tables import download_certificate
from pileus.infrastructure.tables import zone

HYPERVISORS = {"kvm": "KVM", "simulator": "Simulator"}


@command("uploadTemplateDirectDownloadCertificate", manage=())
class UploadDownloadCertificate(Command):
    """Let a zone trust an HTTPS server of templates, or whom it is vouched for by."""

    certificate: str
    hypervisor: str
    name: str
    zoneid: Ref

    def check(self) -> None:
        """Check the certificate, its dates and the words."""
        self.hypervisor = _hypervisor(self.hypervisor)
        self.name = self.name.strip()
        if not self.name or len(self.name) > 255:
            raise InvalidParameter("parameter name must have 1 to 255 characters")
        try:
            parsed = x509.load_pem_x509_certificate(self.certificate.encode())
        except ValueError:
            raise InvalidParameter("parameter certificate is not a PEM-encoded X.509 certificate") from None
        if not parsed.not_valid_before_utc.timestamp() <= database.now() < parsed.not_valid_after_utc.timestamp():
            raise InvalidParameter("parameter certificate: the certificate is not valid now")

    def run(self, call: Call) -> dict[str, Any]:
        """Store the first certificate of the text; downloads that begin from now on trust it."""
        parsed = x509.load_pem_x509_certificate(self.certificate.encode())
        id_ = database.insert(
            call.db,
            download_certificate,
            uuid=database.new_uuid(),
            zone_id=self.zoneid.id,
            hypervisor=self.hypervisor,
            alias=self.name,
            certificate=parsed.public_bytes(serialization.Encoding.PEM).decode(),
            created=database.now(),
        )
        return view(call.db, [database.one(call.db, download_certificate, id_)])[0]


@command("listTemplateDirectDownloadCertificates")
class ListDownloadCertificates(ListCommand):
    """List the certificates by which zones trust HTTPS servers of templates."""

    id: Ref | None = None
    zoneid: Ref | None = None
    listhosts: bool = False

    def query(self, call: Call) -> Query:
        """Return those that match."""
        columns = download_certificate.c
        query = Query(download_certificate).equals(columns.id, self.id).equals(columns.zone_id, self.zoneid)
        return query.contains(self.keyword, columns.alias)

    def view(self, call: Call, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        """Return them; with listhosts also the hosts that hold them, which none does."""
        more: dict[str, Any] = {"hostsmap": []} if self.listhosts else {}
        return [item | more for item in view(call.db, rows)]


@command("revokeTemplateDirectDownloadCertificate", manage=("id",))
class RevokeDownloadCertificate(Command):
    """Trust a certificate no longer: named by its id, or by its name and hypervisor; no host held it."""

    zoneid: Ref
    id: Ref | None = None
    name: str | None = None
    hypervisor: str | None = None

    def check(self) -> None:
        """Check that one is named."""
        if self.id is None and not (self.name and self.hypervisor):
            raise InvalidParameter("parameter id, or parameters name and hypervisor, are needed")
        if self.hypervisor is not None:
            self.hypervisor = _hypervisor(self.hypervisor)

    def run(self, call: Call) -> Listed:
        """Remove it; the answer would list the hosts that held it."""
        columns = download_certificate.c
        of_zone = sa.delete(download_certificate).where(columns.zone_id == self.zoneid.id)
        if self.id is not None:
            of_zone = of_zone.where(columns.id == self.id.id)
        if self.name is not None:
            of_zone = of_zone.where(columns.alias == self.name)
        if self.hypervisor is not None:
            of_zone = of_zone.where(columns.hypervisor == self.hypervisor)
        if not call.db.execute(of_zone).rowcount:
            raise InvalidParameter(f"zone {self.zoneid.name} has no such certificate")
        return Listed([], 0)


def _hypervisor(word: str) -> str:
    if word.lower() not in HYPERVISORS:
        raise InvalidParameter(
            f"parameter hypervisor must be one of {', '.join(HYPERVISORS.values())}, not {word[:20]!r}"
        )
    return HYPERVISORS[word.lower()]


def view(db: Connection, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """Return the certificates as clients see them."""
    zones = related(db, zone, (row.zone_id for row in rows))
    return [_view(row, zones[row.zone_id]) for row in rows]


def _view(row: Row[Any], place: Row[Any]) -> dict[str, Any]:
    parsed = x509.load_pem_x509_certificate(row.certificate.encode())
    begins, ends = parsed.not_valid_before_utc, parsed.not_valid_after_utc
    return {
        "id": row.uuid,
        "alias": row.alias,
        "zoneid": place.uuid,
        "zonename": place.name,
        "hypervisor": row.hypervisor,
        "version": str(parsed.version.value + 1),
        "subject": parsed.subject.rfc4514_string(),
        "issuer": parsed.issuer.rfc4514_string(),
        "validity": f"From: [{begins:%a %b %d %H:%M:%S UTC %Y}] - To: [{ends:%a %b %d %H:%M:%S UTC %Y}]",
        "serialnum": format(parsed.serial_number, "X"),
    }
