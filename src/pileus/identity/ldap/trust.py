"""TLS to a directory: whose certificates are believed, by the file that an operator names."""

from __future__ import annotations

import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from pileus.identity.ldap.errors import Unavailable


def context(file: str, password: str) -> ssl.SSLContext:
    """Return the context of a client that believes these certificates alone, and checks the server's name.

    PEM, or PKCS #12 as Java's keytool writes it (the older JKS is not read).  Raises Unavailable.
    """
    try:
        data = Path(file).read_bytes()
        made = ssl.create_default_context(cadata=_pem(data, password))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise Unavailable(f"ldap.truststore {file} cannot be used: {error}") from error
    return made


def _pem(data: bytes, password: str) -> str:
    if b"-----BEGIN CERTIFICATE-----" in data:
        return data.decode("ascii", "replace")
    if data[:4] == b"\xfe\xed\xfe\xed":
        raise ValueError("it is a JKS key store; convert it: keytool -importkeystore -deststoretype pkcs12")
    store = pkcs12.load_pkcs12(data, password.encode() if password else None)
    found: list[x509.Certificate] = [each.certificate for each in store.additional_certs]
    if store.cert is not None:
        found.append(store.cert.certificate)
    if not found:
        raise ValueError("there are no certificates in it")
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in found)
