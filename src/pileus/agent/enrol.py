"""A host joins a cloud: token, certificate request, certificate (see `pileus.wire.enrolment`)."""

from __future__ import annotations

import ssl
import uuid
from urllib.parse import urlsplit

import httpx
import msgspec
import structlog

from pileus.agent import probe
from pileus.agent.certificate import HostCertificate, NotForThisHostError
from pileus.agent.settings import Folder, Settings
from pileus.core import pki
from pileus.core.mtls import client_context
from pileus.wire.enrolment import SERVER_NAME, EnrolAnswer, EnrolRequest, split_token

log = structlog.get_logger(__name__)

_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
_LARGEST_AUTHORITY = 65536


class EnrolmentError(Exception):
    """Why the host is not taken in, and what to do."""


def enrol(folder: Folder, settings: Settings, server: str, token: str) -> Settings:
    """Enrol this host with the server at the base URL `server`, and keep what it answers; returns the settings.

    The authority's certificate comes over a connection that proves nothing, so only its fingerprint, which the token
    carries, makes it trusted.
    """
    server = server.rstrip("/")
    if urlsplit(server).scheme != "https":
        raise EnrolmentError(f"the server's URL must begin with https://, not {server}")
    try:
        secret, fingerprint = split_token(token)
    except ValueError as error:
        raise EnrolmentError(str(error)) from error
    folder.make()
    settings.host = settings.host or str(uuid.uuid4())
    settings.accelerator_found = probe.accelerator(settings.accelerator)
    certificate = HostCertificate(folder.keys)
    certificate.recover()
    try:
        authority = _authority(server, fingerprint)
        pki.write_public(folder.keys / "ca.crt", authority.encode())
        answer = _ask(folder, settings, server, secret, certificate.request())
    except httpx.HTTPStatusError as error:
        said = f"{error.response.status_code} {error.response.text[:300]}"
        text = f"{server} does not take this host in: {said}; a token is good for one host, once: ask for a new one"
        raise EnrolmentError(text) from error
    except httpx.HTTPError as error:
        raise EnrolmentError(f"{server} cannot be reached: {type(error).__name__}: {error}") from error
    try:
        certificate.install(answer.certificate, host=settings.host)
    except NotForThisHostError as error:
        raise EnrolmentError(f"{server} sent a certificate that is not for this host") from error
    settings.servers = answer.servers or [server]
    folder.save(settings)
    log.info("host enrolled", host=settings.host, servers=settings.servers)
    return settings


def _authority(server: str, fingerprint: str) -> str:
    """Fetch the authority's certificate and hold it against the fingerprint."""
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    with httpx.Client(verify=unverified, timeout=_TIMEOUT, trust_env=False) as client:
        response = client.get(f"{server}/agent/authority").raise_for_status()
    if len(response.content) > _LARGEST_AUTHORITY:
        raise EnrolmentError(f"{server} answered something that is no certificate")
    try:
        actual = pki.fingerprint(response.text)
    except ValueError as error:
        raise EnrolmentError(f"{server} answered something that is no certificate") from error
    if actual != fingerprint:
        text = f"{server} is not the cloud that the token is of (or somebody stands between): nothing was sent"
        raise EnrolmentError(text)
    return response.text


def _ask(folder: Folder, settings: Settings, server: str, secret: str, csr: str) -> EnrolAnswer:
    request = EnrolRequest(
        secret=secret,
        csr=csr,
        facts=probe.gather(settings, settings.accelerator_found),
        address=settings.address,
        port=settings.port,
    )
    context = client_context(None, None, folder.keys / "ca.crt")
    with httpx.Client(verify=context, timeout=_TIMEOUT, trust_env=False) as client:
        response = client.post(
            f"{server}/agent/enrol",
            content=msgspec.json.encode(request),
            headers={"content-type": "application/json"},
            extensions={"sni_hostname": SERVER_NAME},
        ).raise_for_status()
    return msgspec.json.decode(response.content, type=EnrolAnswer)
