"""The API over HTTPS: a certificate and key that an operator puts into the server's folder, read anew when changed."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

LOOK_SECONDS = 10.0


class UnusableCertificateError(Exception):
    """A certificate or key that cannot be served with; the text says what to do."""


class Edge:
    """The context of the HTTPS listener, and the files that it is made of."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = certificate, key
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            self._stamp = self._load()
        except OSError as error:  # ssl.SSLError is one
            raise UnusableCertificateError(
                f"HTTPS needs a certificate (with its chain) in {certificate} and its key in {key}, both PEM: {error}"
            ) from error

    def _load(self) -> tuple[float, ...]:
        stamp = self._now()
        self.context.load_cert_chain(*self._files)
        return stamp

    def _now(self) -> tuple[float, ...]:
        return tuple(file.stat().st_mtime for file in self._files)

    def refresh(self) -> bool:
        """Load the files where they have changed; connections from then on get the new certificate."""
        try:
            if self._now() == self._stamp:
                return False
            self._stamp = self._load()
        except OSError as error:
            log.warning("the changed certificate for HTTPS cannot be used; the former one stays", why=str(error))
            return False
        log.info("HTTPS has a new certificate")
        return True

    async def keep(self, pause: float = LOOK_SECONDS) -> None:
        """Look after the files until cancelled."""
        while True:
            await asyncio.sleep(pause)
            await asyncio.to_thread(self.refresh)
