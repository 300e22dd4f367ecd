"""The agent's way to the management servers: any of them will do, and it stays with one as long as that works.

With every report it is told which servers there are, the one that it should prefer first; the list is kept on disk.
It moves when its server does not answer, or is in the list no more (as it goes into maintenance), and, where management
wants that, back to the preferred one after a while.
"""

from __future__ import annotations

import ssl
import threading
import time
from pathlib import Path

import httpx
import msgspec
import structlog

from pileus.agent.certificate import HostCertificate
from pileus.agent.settings import Folder, Settings
from pileus.core.mtls import client_context
from pileus.wire.enrolment import SERVER_NAME, RenewAnswer, RenewRequest, ReportAnswer
from pileus.wire.hosts import Report

log = structlog.get_logger(__name__)

_SHUN_SECONDS = 60.0  # a server that did not answer is asked after all others for so long
_ASK_AGAIN_SECONDS = 3600.0
_TIMEOUT = httpx.Timeout(10.0, connect=3.0)


class UnreachableError(Exception):
    """No management server took the message."""


class Management:
    """Posts messages with the host's certificate; may be used from any thread."""

    def __init__(self, folder: Folder, settings: Settings, certificate: HostCertificate | None = None) -> None:
        self._folder = folder
        self._certificate = certificate or HostCertificate(folder.keys)
        self._settings = settings
        self._current = settings.servers[0] if settings.servers else ""
        self._shunned: dict[str, float] = {}
        self._chose_at = time.monotonic()
        self._lock = threading.Lock()
        self._client = self._connect()
        self._certificate.on_change(self._reconnect)

    def tls(self) -> ssl.SSLContext:
        """Return the context with the host's present certificate."""
        return host_context(self._folder.keys)

    def report(self, report: Report) -> ReportAnswer:
        """Send a report; UnreachableError when no server takes it."""
        answer = msgspec.json.decode(self._post("/agent/report", msgspec.json.encode(report)), type=ReportAnswer)
        if answer.servers:
            with self._lock:
                self._learn(answer.servers)
                self._choose(answer.check)
        return answer

    @property
    def current(self) -> str:
        """Return the server that the next message goes to first."""
        return self._current

    def _learn(self, servers: list[str]) -> None:
        """Keep the list, with the servers of the enrolment for when none of the others is there any more."""
        settings = self._settings
        if servers == settings.servers:
            return
        settings.origin = settings.origin or settings.servers
        settings.servers = list(servers)
        self._folder.save(settings)
        log.info("management servers are others now", servers=servers)

    def _choose(self, check: float) -> None:
        """Leave a server that is not in the list, and after ``check`` seconds one that is not the preferred one."""
        servers, moment = self._settings.servers, time.monotonic()
        gone = self._current not in servers
        if not gone and (not check or self._current == servers[0] or moment < self._chose_at + check):
            return
        wanted = next((each for each in servers if self._shunned.get(each, 0.0) < moment), None)
        self._chose_at = moment
        if wanted is not None and wanted != self._current:
            log.info("moving to another management server", server=wanted, was=self._current, gone=gone)
            self._current = wanted

    def _tries(self) -> list[str]:
        """Return all servers in the order in which they are asked."""
        everywhere = dict.fromkeys([self._current, *self._settings.servers, *self._settings.origin])
        moment = time.monotonic()
        return sorted(filter(None, everywhere), key=lambda server: self._shunned.get(server, 0.0) > moment)

    def renew(self) -> None:
        """Ask for a new certificate when the present one is due."""
        if time.time() < self._certificate.renew_after():
            return
        body = self._post("/agent/renew", msgspec.json.encode(RenewRequest(csr=self._certificate.request())))
        answer = msgspec.json.decode(body, type=RenewAnswer)
        if answer.certificate:
            self._certificate.install(answer.certificate, host=self._settings.host)
        else:
            log.info("management does not renew certificates by itself now; asking again in an hour")
            self._certificate.postpone(time.time() + _ASK_AGAIN_SECONDS)

    def _reconnect(self) -> None:
        with self._lock:
            self._client.close()
            self._client = self._connect()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _post(self, path: str, body: bytes) -> bytes:
        reasons: list[str] = []
        with self._lock:
            for server in self._tries():
                try:
                    response = self._client.post(
                        server + path,
                        content=body,
                        headers={"content-type": "application/json"},
                        extensions={"sni_hostname": SERVER_NAME},
                    )
                    response.raise_for_status()
                except httpx.HTTPError as error:
                    reasons.append(f"{server}: {type(error).__name__}: {error}")
                    self._shunned[server] = time.monotonic() + _SHUN_SECONDS
                else:
                    if server != self._current:
                        log.info("reporting to another management server", server=server, was=self._current)
                    self._current = server
                    self._shunned.pop(server, None)
                    return response.content
        raise UnreachableError("; ".join(reasons))

    def _connect(self) -> httpx.Client:
        return httpx.Client(verify=self.tls(), timeout=_TIMEOUT, trust_env=False)


def host_context(keys: Path) -> ssl.SSLContext:
    """Make a caller's context from the agent's folder of keys."""
    return client_context(keys / "agent.crt", keys / "agent.key", keys / "ca.crt")
