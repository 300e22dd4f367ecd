"""The listener for agents: real TLS, with and without a certificate of the cloud."""

from __future__ import annotations

import asyncio
import json
import ssl
import uuid
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pileus.core import agent_edge, pki
from pileus.core.errors import PermissionDenied
from pileus.core.listeners import Listener
from pileus.core.mtls import client_context, server_context
from pileus.core.services import Services
from pileus.wire.enrolment import SERVER_NAME
from tests.support.cloud import Cloud


async def who(_services: Services, request: Request) -> Response:
    peer = agent_edge.peer(request)
    return JSONResponse(None if peer is None else [peer.role, peer.id])


async def never(_services: Services, _request: Request) -> Response:
    raise PermissionDenied("not you")


async def broken(_services: Services, _request: Request) -> Response:
    raise RuntimeError("secret insides")


@pytest.fixture
def routes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_edge, "_routes", [])
    agent_edge.register("/open", who, methods=["GET"], enrolled=False)
    agent_edge.register("/closed", who, methods=["GET"])
    agent_edge.register("/never", never, methods=["GET"])
    agent_edge.register("/broken", broken, methods=["GET"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A cloud's authority, its server's certificate and a host's."""
    authority = pki.Authority.open(tmp_path)
    authority.issue_server("server-1", [], tmp_path)
    csr = pki.new_request(tmp_path / "host.key")
    host = str(uuid.uuid4())
    (tmp_path / "host").write_text(host)
    (tmp_path / "host.crt").write_text(authority.sign_host(csr, host, "127.0.0.1"))
    return tmp_path


def ask(cloud: Cloud, folder: Path, context: ssl.SSLContext, *paths: str) -> list[httpx.Response]:
    """Serve on a free port, ask for each path on one connection, stop."""

    async def run() -> list[httpx.Response]:
        tls = server_context(
            folder / "server.crt", folder / "server.key", folder / "ca.crt", certificate_required=False
        )
        listener = Listener(agent_edge.application(cloud.services), "127.0.0.1", 0, tls=tls)
        listener.start()
        try:
            async with httpx.AsyncClient(verify=context, trust_env=False) as client:
                return [
                    await client.get(
                        f"https://127.0.0.1:{listener.port}{path}", extensions={"sni_hostname": SERVER_NAME}
                    )
                    for path in paths
                ]
        finally:
            await listener.stop()

    return asyncio.run(run())


@pytest.mark.usefixtures("routes")
def test_a_host_is_known_by_its_certificate(cloud: Cloud, folder: Path):
    context = client_context(folder / "host.crt", folder / "host.key", folder / "ca.crt")
    for answer in ask(cloud, folder, context, "/open", "/closed", "/closed"):
        assert answer.json() == ["host", (folder / "host").read_text()]


@pytest.mark.usefixtures("routes")
def test_without_a_certificate_only_open_routes_answer(cloud: Cloud, folder: Path):
    open_, closed, missing = ask(
        cloud, folder, client_context(None, None, folder / "ca.crt"), "/open", "/closed", "/none"
    )
    assert (open_.status_code, open_.json()) == (200, None)
    assert closed.status_code == 401
    assert "enrol" in closed.json()["error"]
    assert missing.status_code == 404


@pytest.mark.usefixtures("routes")
def test_a_certificate_of_another_cloud_is_refused(cloud: Cloud, folder: Path, tmp_path: Path):
    foreign = tmp_path / "foreign"
    authority = pki.Authority.open(foreign)
    csr = pki.new_request(foreign / "host.key")
    (foreign / "host.crt").write_text(authority.sign_host(csr, str(uuid.uuid4()), "127.0.0.1"))
    context = client_context(foreign / "host.crt", foreign / "host.key", folder / "ca.crt")
    with pytest.raises(httpx.TransportError):
        ask(cloud, folder, context, "/open")


@pytest.mark.usefixtures("routes")
def test_refusals_and_faults_are_plain_http(cloud: Cloud, folder: Path):
    context = client_context(folder / "host.crt", folder / "host.key", folder / "ca.crt")
    refused, fault = ask(cloud, folder, context, "/never", "/broken")
    assert (refused.status_code, refused.json()) == (403, {"error": "not you"})
    assert fault.status_code == 500
    assert "secret insides" not in json.dumps(fault.json())
