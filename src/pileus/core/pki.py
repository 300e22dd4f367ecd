"""The cloud's own certificate authority: an EC P-256 key in a folder, and the certificates that it signs.

Roles are in the subject: CN `server:<id>` is a management server, CN `host:<uuid>` an agent.  A server's
certificate has the DNS name `pileus-server`, a host's its uuid, so either side checks whom it talks to
whatever the address is.
"""

from __future__ import annotations

import dataclasses
import datetime
import ipaddress
import os
import re
import uuid
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pileus.wire.enrolment import SERVER_NAME

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 365
_LEAST_RSA_BITS = 2048
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAME = re.compile(r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?)*")
_BACKDATE = datetime.timedelta(minutes=10)  # clocks of hosts are not exactly alike


PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class RequestError(ValueError):
    """A certificate request that cannot be signed."""


@dataclasses.dataclass(frozen=True)
class Authority:
    """The authority's certificate and key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def open(cls, folder: Path) -> Authority:
        """Read the authority in `folder`, or make it there (files ca.key, mode 0600, and ca.crt)."""
        key_file, certificate_file = folder / "ca.key", folder / "ca.crt"
        if not (key_file.exists() and certificate_file.exists()):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = _self_signed(key)
            write_private(key_file, key_pem(key))
            write_public(certificate_file, certificate.public_bytes(serialization.Encoding.PEM))
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{key_file} holds no elliptic curve key; remove it only to begin a new cloud")
        return cls(x509.load_pem_x509_certificate(certificate_file.read_bytes()), key)

    @property
    def pem(self) -> str:
        """The certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate's DER, in hexadecimal: the second part of an enrolment token."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def issue_server(self, server: str, addresses: list[str], folder: Path, days: int = CERTIFICATE_DAYS) -> str:
        """Write server.key and server.crt for the management server `server` into `folder`; returns the latter."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [SERVER_NAME, *addresses]
        certificate = self._issue(f"server:{server}", key.public_key(), names, days)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(folder / "server.key", key_pem(key))
        write_public(folder / "server.crt", certificate)
        return certificate.decode()

    def sign_host(self, csr_pem: str, host: str, address: str, days: int = CERTIFICATE_DAYS) -> str:
        """Sign a host's request and return the certificate (PEM); the subject is ours, not the request's."""
        host = str(uuid.UUID(host))
        key = _key_of(_read_request(csr_pem))
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise RequestError("the certificate request must have an elliptic curve key")
        return self._issue(f"host:{host}", key, [host, *([address] if address else [])], days).decode()

    def sign(self, csr_pem: str, names: list[str], days: int) -> str:
        """Sign anybody's request, for its names and these; names that mean a part of the cloud are refused."""
        csr = _read_request(csr_pem)
        key = _key_of(csr)
        common = [str(each.value) for each in csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        return self._sign_named(key, [*common[:1], *names, *_asked_names(csr)], days)

    def issue(self, names: list[str], days: int) -> tuple[str, str]:
        """Make a key and a certificate for it; returns (certificate, key), both PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        return self._sign_named(key.public_key(), names, days), key_pem(key).decode()

    def _sign_named(self, key: PublicKey, names: list[str], days: int) -> str:
        names = list(dict.fromkeys(names))
        if not names:
            raise RequestError("the certificate request names nobody")
        for name in names:
            _refuse_reserved(name)
        return self._issue(names[0][:64], key, names, days).decode()

    def _issue(self, name: str, key: PublicKey, names: list[str], days: int) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self.certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATE)
            .not_valid_after(min(now + datetime.timedelta(days=days), self.certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general_name(n) for n in names]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)


def _read_request(csr_pem: str) -> x509.CertificateSigningRequest:
    try:
        csr = x509.load_pem_x509_csr(csr_pem.encode())
    except ValueError as error:
        raise RequestError("the certificate request is not a PEM-encoded PKCS#10 request") from error
    try:
        valid = csr.is_signature_valid
    except (InvalidSignature, UnsupportedAlgorithm):
        valid = False
    if not valid:
        raise RequestError("the certificate request is not signed by its own key")
    return csr


def _key_of(csr: x509.CertificateSigningRequest) -> PublicKey:
    key = csr.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _LEAST_RSA_BITS:
        return key
    raise RequestError(f"the certificate request must have an elliptic curve or an RSA key of {_LEAST_RSA_BITS} bits")


def _asked_names(csr: x509.CertificateSigningRequest) -> list[str]:
    try:
        asked = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    except ValueError as error:
        raise RequestError("the certificate request has alternative names that cannot be read") from error
    return [*asked.get_values_for_type(x509.DNSName), *map(str, asked.get_values_for_type(x509.IPAddress))]


def _refuse_reserved(name: str) -> None:
    """Refuse what would let the holder speak as a management server or as a host, and what is no name."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        pass
    else:
        return
    if name.lower() == SERVER_NAME or _UUID.fullmatch(name.lower()):
        raise RequestError(f"the name {name} belongs to the cloud's own servers and hosts")
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise RequestError(f"{name[:64]!r} is neither an address nor a DNS name")


def serial_of(pem: str) -> str:
    """Return the serial number in a PEM certificate: hexadecimal, lower case."""
    return format(x509.load_pem_x509_certificate(pem.encode()).serial_number, "x")


def same_key(pem: str, key_file: Path) -> bool:
    """Tell whether a PEM certificate is for the private key in a file."""
    key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    return key.public_key() == x509.load_pem_x509_certificate(pem.encode()).public_key()


def new_request(key_file: Path) -> str:
    """Return a certificate request (PEM) for the key in `key_file`, made there (mode 0600) when missing."""
    if not key_file.exists():
        write_private(key_file, key_pem(ec.generate_private_key(ec.SECP256R1())))
    key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{key_file} holds no elliptic curve key; remove it and enrol again")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "host")])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def fingerprint(pem: str) -> str:
    """Return the SHA-256 fingerprint (hexadecimal) of a PEM certificate."""
    return x509.load_pem_x509_certificate(pem.encode()).fingerprint(hashes.SHA256()).hex()


def common_name(pem: str) -> str:
    """Return the common name in a PEM certificate."""
    subject = x509.load_pem_x509_certificate(pem.encode()).subject
    return str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def renewal_due(pem: str, now: datetime.datetime | None = None) -> datetime.datetime | None:
    """Return when the certificate became due for renewal, or None before that."""
    due = renewal_date(pem)
    return due if (now or datetime.datetime.now(datetime.UTC)) >= due else None


def renewal_date(pem: str) -> datetime.datetime:
    """Return when the certificate is due for renewal: after two thirds of its life."""
    certificate = x509.load_pem_x509_certificate(pem.encode())
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begin + (end - begin) * 2 / 3


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Render a private key as unencrypted PKCS#8 PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads (0600), all of it or nothing."""
    _write(path, content, 0o600)


def write_public(path: Path, content: bytes) -> None:
    """Write a file that anybody may read (0644), all of it or nothing."""
    _write(path, content, 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    temporary.replace(path)


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Pileus {uuid.uuid4()}")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + datetime.timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
