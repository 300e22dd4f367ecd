"""A management server's side of enrolment and reports, over real HTTPS, for tests of the agent."""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
from pathlib import Path

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from pileus.core.mtls import MutualProtocol, peer_of, server_context
from pileus.core.pki import Authority, RequestError
from pileus.wire.enrolment import EnrolAnswer, EnrolRequest, RenewAnswer, RenewRequest, ReportAnswer
from pileus.wire.hosts import Report


def free_port() -> int:
    """Return a TCP port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class ManagementServer:
    """Takes hosts in by one-time tokens and keeps their reports; `images` is served to hosts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority.open(folder / "ca")
        self.authority.issue_server("one", ["127.0.0.1"], folder / "server")
        self.images = folder / "images"
        self.images.mkdir()
        self.secrets: set[str] = set()
        self.hosts: dict[str, EnrolRequest] = {}
        self.reports: list[Report] = []
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self._server = self._make()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def token(self) -> str:
        """Make a one-time token."""
        secret = secrets.token_urlsafe(16)
        self.secrets.add(secret)
        return f"{secret}.{self.authority.fingerprint}"

    def keys(self) -> tuple[Path, Path, Path]:
        """Return certificate, key and authority of this server."""
        server = self.folder / "server"
        return server / "server.crt", server / "server.key", self.folder / "ca" / "ca.crt"

    def start(self) -> None:
        """Serve until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving."""
        self._server.should_exit = True
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.run(self._server.serve())

    def _make(self) -> uvicorn.Server:
        routes = [
            Route("/agent/authority", self._authority),
            Route("/agent/enrol", self._enrol, methods=["POST"]),
            Route("/agent/report", self._report, methods=["POST"]),
            Route("/agent/renew", self._renew, methods=["POST"]),
            Route("/images/{name}", self._image),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes),
            host="127.0.0.1",
            port=self.port,
            http=MutualProtocol,
            loop="asyncio",
            lifespan="off",
            log_config=None,
            timeout_graceful_shutdown=1,
        )
        config.load()
        config.ssl = server_context(*self.keys(), certificate_required=False)
        return uvicorn.Server(config)

    async def _authority(self, request: Request) -> Response:
        return PlainTextResponse(self.authority.pem)

    async def _enrol(self, request: Request) -> Response:
        asked = msgspec.json.decode(await request.body(), type=EnrolRequest)
        if asked.secret not in self.secrets:
            return PlainTextResponse("no such token", 403)
        try:
            certificate = self.authority.sign_host(asked.csr, asked.facts.uuid, asked.address)
        except RequestError as error:
            return PlainTextResponse(str(error), 400)
        self.secrets.remove(asked.secret)
        self.hosts[asked.facts.uuid] = asked
        answer = EnrolAnswer(host=asked.facts.uuid, certificate=certificate, authority=self.authority.pem)
        return Response(msgspec.json.encode(answer))

    async def _report(self, request: Request) -> Response:
        report = msgspec.json.decode(await request.body(), type=Report)
        peer = peer_of(request.scope)
        if peer is None or (peer.role, peer.id) != ("host", report.host):
            return PlainTextResponse("not that host", 403)
        self.reports.append(report)
        return Response(msgspec.json.encode(ReportAnswer()))

    async def _renew(self, request: Request) -> Response:
        peer = peer_of(request.scope)
        if peer is None or peer.role != "host":
            return PlainTextResponse("not a host", 403)
        asked = msgspec.json.decode(await request.body(), type=RenewRequest)
        certificate = self.authority.sign_host(asked.csr, peer.id, "127.0.0.1")
        return Response(msgspec.json.encode(RenewAnswer(certificate=certificate)))

    async def _image(self, request: Request) -> Response:
        peer = peer_of(request.scope)
        if peer is None or peer.role != "host":
            return PlainTextResponse("only hosts", 403)
        return FileResponse(self.images / request.path_params["name"])
