"""Routes for agents: the cloud's authority, enrolment, renewal of certificates, reports."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TypeVar

import msgspec
import sqlalchemy as sa
import structlog
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from pileus.core import agent_edge, certificates, database, pki
from pileus.core.errors import InvalidParameter, PermissionDenied
from pileus.core.parameters import is_uuid
from pileus.core.services import Services
from pileus.infrastructure import agent_servers, certification, reports
from pileus.infrastructure.tables import agent, enrolment_token, host
from pileus.wire.enrolment import EnrolAnswer, EnrolRequest, RenewAnswer, RenewRequest, ReportAnswer
from pileus.wire.hosts import Report

log = structlog.get_logger(__name__)

MOST_BYTES = 8 * 1024 * 1024  # a report of a host with thousands of machines fits

_encode = msgspec.json.encode
_T = TypeVar("_T", bound=msgspec.Struct)


async def _body(request: Request, type_: type[_T]) -> _T:
    """Return the request's body as a struct; refuses what is too long or does not fit."""
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > MOST_BYTES:
            raise InvalidParameter(f"the message is longer than {MOST_BYTES} bytes")
    try:
        return msgspec.json.decode(bytes(content), type=type_)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise InvalidParameter(f"the message is no {type_.__name__}: {error}") from error


def _json(value: msgspec.Struct) -> Response:
    return Response(_encode(value), media_type="application/json")


def peer_host(request: Request) -> str:
    """Return the uuid of the host whose certificate the request came with."""
    peer = agent_edge.peer(request)
    if peer is None or peer.role != "host":
        raise PermissionDenied("only hosts of this cloud may ask for this")
    return peer.id


async def show_authority(services: Services, _request: Request) -> Response:
    """Answer the authority's certificate; whoever asks compares it with the fingerprint in the token."""
    return PlainTextResponse(certification.authority_of(services).pem, media_type="application/x-pem-file")


async def enrol(services: Services, request: Request) -> Response:
    """Take a host in that knows a one-time token, and sign its certificate."""
    message = await _body(request, EnrolRequest)
    return _json(await asyncio.to_thread(_enrol, services, message))


def _enrol(services: Services, message: EnrolRequest) -> EnrolAnswer:
    authority = certification.authority_of(services)
    uuid = message.facts.uuid.lower()
    if not is_uuid(uuid) or not message.address or not 0 < message.port < 65536:
        raise InvalidParameter("enrolment needs the host's uuid, address and port")
    with services.database.write() as db:
        _use_token(db, message.secret)
        try:
            days = services.settings.get(certificates.VALIDITY_DAYS)
            certificate = authority.sign_host(message.csr, uuid, message.address, days)
        except pki.RequestError as error:
            raise InvalidParameter(str(error)) from error
        _store(db, message, uuid, certificate)
    log.info("a host enrolled", host=uuid, name=message.facts.name, address=message.address, port=message.port)
    told = agent_servers.of(services).told(uuid)
    return EnrolAnswer(host=uuid, certificate=certificate, authority=authority.pem, servers=told.servers)


def _use_token(db: Connection, secret: str) -> None:
    """Use the one-time token up; PermissionDenied when it is none, was used, or is too old."""
    moment = database.now()
    digest = hashlib.sha256(secret.encode()).hexdigest()
    fresh = sa.update(enrolment_token).where(
        enrolment_token.c.token_hash == digest,
        enrolment_token.c.used.is_(None),
        enrolment_token.c.expires > moment,
    )
    if db.execute(fresh.values(used=moment)).rowcount != 1:
        raise PermissionDenied("this enrolment token is unknown, used or expired; make a new one")


def _store(db: Connection, message: EnrolRequest, uuid: str, certificate: str) -> None:
    """Insert the agent, or update it when the host enrols again; a host of the cloud learns its new address."""
    serial = certificates.record(db, certificate)
    values = {
        "address": message.address,
        "port": message.port,
        "serial": serial,
        "facts": msgspec.to_builtins(message.facts),
        "created": database.now(),
    }
    known = db.execute(sa.update(agent).where(agent.c.uuid == uuid).values(**values)).rowcount
    if not known:
        database.insert(db, agent, uuid=uuid, **values)
    moved = sa.update(host).where(host.c.uuid == uuid, host.c.removed.is_(None))
    db.execute(moved.values(address=message.address, port=message.port))


async def renew(services: Services, request: Request) -> Response:
    """Sign a host's next certificate."""
    uuid = peer_host(request)
    message = await _body(request, RenewRequest)
    return _json(await asyncio.to_thread(_renew, services, uuid, message))


def _renew(services: Services, uuid: str, message: RenewRequest) -> RenewAnswer:
    with services.database.write() as db:
        row = db.execute(sa.select(agent).where(agent.c.uuid == uuid)).one_or_none()
        if row is None:
            raise PermissionDenied("this host is not enrolled any more; enrol it with a new token")
        if not certification.automatic(db, services.settings, uuid):
            return RenewAnswer(certificate="")
        return RenewAnswer(certificate=certification.renew(db, services, row, message.csr))


async def report(services: Services, request: Request) -> Response:
    """Take a host's report; it is written soon."""
    uuid = peer_host(request)
    message = await _body(request, Report)
    if message.host.lower() != uuid.lower():
        raise PermissionDenied("the report speaks for another host than its certificate")
    intake = reports.intake(services)
    again = intake.lost_facts(message.host) and message.facts is None
    intake.take(message)
    servers = agent_servers.of(services)
    told = servers.at_once(uuid) or await asyncio.to_thread(servers.told, uuid)
    measure = services.settings.get(reports.STATS_INTERVAL) / 1000
    return _json(ReportAnswer(servers=told.servers, check=told.check, measure=measure, facts=again))


def register() -> None:
    """Register the routes."""
    agent_edge.register("/agent/authority", show_authority, methods=["GET"], enrolled=False)
    agent_edge.register("/agent/enrol", enrol, methods=["POST"], enrolled=False)
    agent_edge.register("/agent/renew", renew, methods=["POST"])
    agent_edge.register("/agent/report", report, methods=["POST"])
