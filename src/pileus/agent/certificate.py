"""The host's key and certificate: asked for, put in place, and taken into use while the agent runs.

Each new certificate is for a new key, which waits as `agent.key.next` until its certificate is there.  The pair is put
in place by two renames; `recover` finishes what a crash has left between them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)


class NotForThisHostError(Exception):
    """A certificate that does not fit the key that waits for one, or names somebody else."""


class HostCertificate:
    """The files in the agent's folder of keys, and who has to know when they change; from any thread."""

    def __init__(self, keys: Path) -> None:
        self._keys = keys
        self._lock = threading.Lock()
        self._adopted: list[Callable[[], object]] = []
        self._due: float | None = None

    def on_change(self, function: Callable[[], object]) -> None:
        """Call the function whenever there is a new certificate."""
        self._adopted.append(function)

    def request(self) -> str:
        """Return a certificate request (PEM) for the next key, the same one until its certificate is installed."""
        from pileus.core import pki  # a library of 8 MB that is else not needed here

        with self._lock:
            return pki.new_request(self._keys / "agent.key.next")

    def install(self, pem: str, *, host: str) -> None:
        """Put a certificate and the key that waited for it in place, and let all connections from now on use them."""
        from pileus.core import pki

        with self._lock:
            present = self._keys / "agent.crt"
            if present.exists() and present.read_text() == pem:
                return  # a repeat
            key = self._keys / "agent.key.next"
            if not key.exists() or not pki.same_key(pem, key) or pki.common_name(pem) != f"host:{host}":
                raise NotForThisHostError("the certificate is not the one that this host has asked for")
            pki.write_public(self._keys / "agent.crt.next", pem.encode())
            self._promote()
            pki.write_private(self._keys / "renew-after", str(pki.renewal_date(pem).timestamp()).encode())
            self._due = None
        for function in self._adopted:
            function()
        log.info("the host has a new certificate")

    def recover(self) -> None:
        """Finish an installation that was cut short."""
        following = self._keys / "agent.crt.next"
        if not following.exists():
            return
        from pileus.core import pki

        pem = following.read_text()
        if any(key.exists() and pki.same_key(pem, key) for key in self._both()):
            self._promote()
            log.info("a certificate's installation was finished that a crash had cut short")
        else:
            following.unlink()

    def renew_after(self) -> float:
        """Return when the certificate is due for renewal; the date is kept beside it."""
        if self._due is None:
            certificate, note = self._keys / "agent.crt", self._keys / "renew-after"
            if not note.exists() or note.stat().st_mtime < certificate.stat().st_mtime:
                from pileus.core import pki

                date = pki.renewal_date(certificate.read_text()).timestamp()
                pki.write_private(note, str(date).encode())
            self._due = float(note.read_text())
        return self._due

    def postpone(self, until: float) -> None:
        """Do not ask before this moment (in this process)."""
        self._due = until

    def _both(self) -> tuple[Path, Path]:
        return self._keys / "agent.key.next", self._keys / "agent.key"

    def _promote(self) -> None:
        following, key = self._both()
        if following.exists():
            following.replace(key)
        (self._keys / "agent.crt.next").replace(self._keys / "agent.crt")
