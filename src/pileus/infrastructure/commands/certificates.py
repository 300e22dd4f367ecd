"""Commands of the cloud's own certificate authority."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from pileus.core import certificates, pki
from pileus.core.calls import Call
from pileus.core.commands import Command, command
from pileus.core.errors import InvalidParameter
from pileus.core.parameters import Ref
from pileus.infrastructure import certification, model, workflows
from pileus.infrastructure.computed import ComputedList

_PROVIDER = "root"
_DESCRIPTION = "The cloud's own certificate authority (EC P-256): it signs what servers and agents know one another by"


@command("listCAProviders")
class ListProviders(ComputedList):
    """List the certificate authorities: there is one."""

    name: str | None = None

    def items(self, call: Call) -> list[dict[str, Any]]:
        """Return it, when it is the one asked for."""
        if self.name is not None and self.name.lower() != _PROVIDER:
            return []
        return [{"name": _PROVIDER, "description": _DESCRIPTION}]


class OfAuthority(Command):
    """Base of commands that name the authority by ``provider``: there is one."""

    provider: str | None = None

    def check(self) -> None:
        """Check the provider."""
        if self.provider is not None:
            model.one_of("provider", self.provider, (_PROVIDER,))


@command("listCaCertificate")
class ListCaCertificate(OfAuthority):
    """Show the certificate of the cloud's authority."""

    def run(self, call: Call) -> dict[str, Any]:
        """Return it."""
        return {"cacertificates": certification.authority_of(call.services).pem}


@command("issueCertificate", event="CA.CERTIFICATE.ISSUE")
class IssueCertificate(OfAuthority):
    """Sign a certificate: of a request (csr), or for domains and addresses with a new key; duration in days."""

    csr: str | None = None
    domain: list[str] | None = None
    ipaddress: list[str] | None = None
    duration: int | None = None

    def check(self) -> None:
        """Check that somebody is named, and the duration."""
        super().check()
        if not self.csr and not self.domain:
            raise InvalidParameter("parameter csr or domain is needed")
        if self.duration is not None and not 1 <= self.duration <= pki.AUTHORITY_DAYS:
            raise InvalidParameter(f"parameter duration must be 1 to {pki.AUTHORITY_DAYS} days")
        for address in self.ipaddress or []:
            try:
                ipaddress.ip_address(address)
            except ValueError:
                raise InvalidParameter(f"parameter ipaddress: {address[:50]!r} is no address") from None

    def run(self, call: Call) -> Any:
        """Sign it and take note of it; the job tells it, with the key encrypted while it is kept."""
        authority = certification.authority_of(call.services)
        days = self.duration or call.services.settings.get(certificates.VALIDITY_DAYS)
        names = [*(self.domain or []), *(self.ipaddress or [])]
        try:
            signed, key = (authority.sign(self.csr, names, days), "") if self.csr else authority.issue(names, days)
        except pki.RequestError as error:
            raise InvalidParameter(str(error)) from error
        serial = certificates.record(call.db, signed)
        call.describe(f"issued certificate {serial}")
        sealed = call.services.secrets.encrypt(key) if key else ""
        return call.submit(certification.issued, key=None, certificate=signed, sealed=sealed)


@command("provisionCertificate", event="CA.CERTIFICATE.PROVISION", manage=("hostid",))
class ProvisionCertificate(OfAuthority):
    """Give a host's agent a new key and certificate; with reconnect it is then asked who it is and taken back."""

    hostid: Ref
    reconnect: bool = True

    def run(self, call: Call) -> Any:
        """Start the job."""
        row = self.hostid
        certification.authority_of(call.services)
        if row.hypervisor == model.SIMULATOR:
            raise InvalidParameter(f"parameter hostid: {row.name} is simulated and has no certificate")
        call.describe(f"provisioning a certificate of host {row.name}", resource=("Host", row.uuid))
        return call.submit(
            certification.provision,
            key=f"host:{row.id}",
            instance=("Host", row.uuid),
            host_id=row.id,
            reconnect=self.reconnect,
            alone=False,
        )


@command("revokeCertificate", event="CA.CERTIFICATE.REVOKE")
class RevokeCertificate(OfAuthority):
    """Refuse a certificate from now on, on every server; serial is hexadecimal."""

    serial: str
    cn: str | None = None

    def check(self) -> None:
        """Check the serial's form."""
        super().check()
        self.serial = self.serial.strip().lower().removeprefix("0x").replace(":", "").lstrip("0")
        if not re.fullmatch(r"[0-9a-f]{1,40}", self.serial):
            raise InvalidParameter("parameter serial must be a certificate's serial number in hexadecimal digits")

    def run(self, call: Call) -> Any:
        """Take note of it."""
        authority = certification.authority_of(call.services)
        known = certificates.find(call.db, self.serial)
        if known is not None and self.cn is not None and self.cn != known.name:
            raise InvalidParameter(f"parameter cn: the certificate {self.serial} is of {known.name}")
        if self.serial == pki.serial_of(authority.pem) or (known is not None and known.name.startswith("server:")):
            raise InvalidParameter(
                "parameter serial: this is a certificate of the cloud's own side, by which hosts know it; a server "
                "makes itself another one at its start when ca/server.crt is not there"
            )
        certificates.revoke(call.db, self.serial, (self.cn or "")[:255])
        call.describe(f"revoked certificate {self.serial}")
        return call.submit(workflows.deleted, key=None)
