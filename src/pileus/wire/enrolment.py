"""How a host joins a cloud and keeps its certificate.

A host that knows only an enrolment token gets the cloud's authority by `GET /agent/authority` (PEM, from a
connection that nobody vouches for), compares it with the fingerprint in the token, and then sends
`POST /agent/enrol` over a connection that the authority vouches for.  Afterwards it speaks by its own
certificate: `POST /agent/report`, `POST /agent/renew`.
"""

from __future__ import annotations

import msgspec

from pileus.wire.hosts import HostFacts

SERVER_NAME = "pileus-server"  # every management server's certificate has this DNS name, and no host's has


class EnrolRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a new host sends with its one-time token."""

    secret: str  # the token without the fingerprint
    csr: str  # PEM
    facts: HostFacts
    address: str  # where management reaches the agent
    port: int


class EnrolAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the cloud gives to a host that it takes in."""

    host: str  # uuid, as in the certificate
    certificate: str  # PEM
    authority: str  # PEM
    servers: list[str] = []  # base URLs of all servers for agents; empty = the one that was asked


class RenewRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A host asks for its next certificate (the old one proves who asks)."""

    csr: str


class RenewAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The next certificate of a host."""

    certificate: str  # "" = not now: management does not renew certificates by itself


class SigningRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the operation `host.certificate.request` answers: a request for a certificate of the host's next key."""

    csr: str


class SignedCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """What the operation `host.certificate.install` puts in place."""

    certificate: str


class ReportAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What management answers to a report."""

    interval: float = 0.0  # seconds until the next report; 0 = as before
    servers: list[str] = []  # base URLs of the servers that live now, the preferred one first; empty = as before
    check: float = 0.0  # seconds after which an agent that is with another server tries its preferred one; 0 = never
    measure: float = 0.0  # seconds between two measurements of what the host and its machines use; 0 = as before
    facts: bool = False  # send the facts again with the next report


def split_token(token: str) -> tuple[str, str]:
    """Split `<secret>.<sha-256 of the authority's DER, hex>` into its parts; ValueError when it is none."""
    secret, _, fingerprint = token.strip().rpartition(".")
    if not secret or len(fingerprint) != 64 or any(c not in "0123456789abcdef" for c in fingerprint):
        raise ValueError("an enrolment token looks like <secret>.<64 hexadecimal digits>")
    return secret, fingerprint
