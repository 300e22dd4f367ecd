"""Mutual TLS between management and agents: contexts for both sides, and who the peer of a request is."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any, Literal

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

PEER = "pileus.peer"  # key of the ASGI scope's extensions


class Peer(msgspec.Struct, frozen=True):
    """Whom a verified certificate names."""

    role: Literal["server", "host"]
    id: str
    serial: str = ""  # of the certificate: hexadecimal, lower case


def server_context(
    certificate: Path, key: Path, authority: Path, *, certificate_required: bool = True
) -> ssl.SSLContext:
    """Make a listener's context; without `certificate_required` a caller may come without one (enrolment)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(authority)
    context.verify_mode = ssl.CERT_REQUIRED if certificate_required else ssl.CERT_OPTIONAL
    return context


def client_context(certificate: Path | None, key: Path | None, authority: Path) -> ssl.SSLContext:
    """Make a caller's context: it trusts this authority only, and may be without a certificate of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(authority)
    if certificate is not None and key is not None:
        context.load_cert_chain(certificate, key)
    return context


def peer_of(scope: Any) -> Peer | None:
    """Return whom the client certificate of this request names, or None without a certificate of ours."""
    return scope.get("extensions", {}).get(PEER)


class MutualProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP protocol that also tells the application who the TLS peer is (give it as `http=`)."""

    _peer: Peer | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Read the peer's certificate once, when the handshake is done."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        self._peer = _parse(tls.getpeercert()) if tls is not None else None

    def on_message_begin(self) -> None:
        """Put the peer into the scope of the request that begins."""
        super().on_message_begin()
        if self._peer is not None:
            self.scope["extensions"] = {PEER: self._peer}  # type: ignore[typeddict-item]


def _parse(certificate: dict[str, Any] | None) -> Peer | None:
    known = certificate or {}
    subject: tuple[tuple[tuple[str, str], ...], ...] = known.get("subject", ())
    serial = str(known.get("serialNumber", "")).lower().lstrip("0")
    for group in subject:
        for key, value in group:
            role, _, name = value.partition(":")
            if key == "commonName" and name and (role == "server" or role == "host"):  # noqa: PLR1714
                return Peer(role, name, serial)
    return None
