"""Certificates of hosts: signed, renewed over the agent's channel, and told of before they end."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy import Connection
from sqlalchemy.engine import Row

from pileus.core import alerts, certificates, database, events, pki
from pileus.core.api.jobs import ENCRYPTED
from pileus.core.errors import InvalidParameter
from pileus.core.jobs import Job, JobFailed, periodic, submit, workflow
from pileus.core.jobs.tables import ACTIVE
from pileus.core.jobs.tables import job as job_table
from pileus.core.services import Services
from pileus.core.settings import Settings, declare
from pileus.core.tables import certificate
from pileus.infrastructure import reconnecting
from pileus.infrastructure.tables import agent, host

log = structlog.get_logger(__name__)

AUTOMATIC = declare(
    "ca.framework.cert.automatic.renewal",
    bool,
    True,
    "whether hosts get a new certificate before theirs ends",
    scopes=("global", "cluster"),
)
ALERT_DAYS = declare(
    "ca.framework.cert.expiry.alert.period",
    int,
    15,
    "days before its end in which a host's certificate is renewed, or where that is off or fails, operators are told",
    scopes=("global", "cluster"),
    minimum=1,
)
DELAY = declare(
    "ca.framework.background.task.delay", int, 3600, "seconds between two looks at the certificates of hosts", minimum=1
)

ALERT = "ALERT.CA.CERT"
_DAY = 86400.0
_CALL_SECONDS = 60


def authority_of(services: Services) -> pki.Authority:
    """Return the cloud's own certificate authority."""
    found = services.plugins.get("authority")
    if not isinstance(found, pki.Authority):
        raise InvalidParameter("this server has simulated hosts only, and no certificate authority for agents")
    return found


def automatic(db: Connection, settings: Settings, uuid: str) -> bool:
    """Tell whether the certificate of a host is renewed by itself, as its cluster's setting says."""
    cluster = db.execute(sa.select(host.c.cluster_id).where(host.c.uuid == uuid, host.c.removed.is_(None))).scalar()
    return settings.get(AUTOMATIC, *([("cluster", cluster)] if cluster is not None else []))


def renew(db: Connection, services: Services, row: Row[Any], csr: str) -> str:
    """Sign the request that an agent (a row of them) sends; the certificate in the answer is its own from now on."""
    signed, serial = _signed(db, services, row, csr)
    database.change(db, agent, row.id, serial=serial)
    return signed


def _signed(db: Connection, services: Services, row: Row[Any], csr: str) -> tuple[str, str]:
    """Sign the request of an agent and take note of the certificate; returns it and its serial number."""
    days = services.settings.get(certificates.VALIDITY_DAYS)
    try:
        signed = authority_of(services).sign_host(csr, row.uuid, row.address, days)
    except pki.RequestError as error:
        raise InvalidParameter(str(error)) from error
    return signed, certificates.record(db, signed)


def _failed(job: Job, db: Connection, error: JobFailed) -> None:
    """Tell operators, where nobody waits for the job's end."""
    if not job.arguments["alone"]:
        return
    row = database.one(db, host, job.arguments["host_id"])
    _tell(db, row, f"The certificate of host {row.name} could not be renewed: {error.text}")


@workflow("host.certificate", on_failure=_failed)
def provision(job: Job, host_id: int, reconnect: bool, alone: bool) -> None:
    """Give a host a new key and certificate over its channel; ``alone``: nobody asked for it."""
    thing = f"host:{host_id}"
    asked = job.call("request", host_id, "host.certificate.request", thing, {}, timeout=_CALL_SECONDS)
    signed, serial = job.commit("sign", lambda db: _sign(db, job.services, host_id, asked["csr"]))
    job.call("install", host_id, "host.certificate.install", thing, {"certificate": signed}, timeout=_CALL_SECONDS)
    job.commit("installed", lambda db: _installed(db, host_id, serial))
    if reconnect:
        facts = job.call("facts", host_id, "host.facts", thing, {}, timeout=_CALL_SECONDS)
        job.commit("up", lambda db: reconnecting.take_back(db, host_id, facts))
    job.finish("done", lambda _db: {"success": True})


@workflow("certificate.issued")
def issued(job: Job, certificate: str, sealed: str) -> None:
    """End with a certificate that was signed with the call; ``sealed``: its key, encrypted, where it has a new one."""
    authority = authority_of(job.services).pem
    answer: dict[str, Any] = {"certificate": certificate, "cacertificates": authority}
    if sealed:
        answer["privatekey"] = {ENCRYPTED: sealed}
    job.finish("done", lambda _db: {"certificates": answer})


def _sign(db: Connection, services: Services, host_id: int, csr: str) -> tuple[str, str]:
    row = db.execute(sa.select(agent).where(agent.c.uuid == database.one(db, host, host_id).uuid)).one_or_none()
    if row is None:
        raise InvalidParameter("the host's agent is not enrolled any more; enrol it with a new token")
    return _signed(db, services, row, csr)


def _installed(db: Connection, host_id: int, serial: str) -> None:
    uuid = database.one(db, host, host_id).uuid
    db.execute(sa.update(agent).where(agent.c.uuid == uuid).values(serial=serial))


@periodic("ca.background", every=lambda services: services.settings.get(DELAY))
def look(services: Services) -> None:
    """Renew the certificates that end soon, and tell operators of those that are not renewed."""
    if "authority" not in services.plugins:
        return
    moment = database.now()
    statement = (
        sa.select(host, certificate.c.expires)
        .join(agent, agent.c.uuid == host.c.uuid)
        .join(certificate, certificate.c.serial == agent.c.serial)
        .where(host.c.removed.is_(None), certificate.c.revoked.is_(None))
    )
    with services.database.read() as db:
        found = db.execute(statement).all()
    for row in found:
        scope = ("cluster", row.cluster_id)
        if row.expires > moment + services.settings.get(ALERT_DAYS, scope) * _DAY:
            continue
        with services.database.write() as db:
            _attend(db, row, row.expires - moment, renew=services.settings.get(AUTOMATIC, scope))


def _attend(db: Connection, row: Row[Any], left: float, *, renew: bool) -> None:
    """Renew a host's certificate that ends in so many seconds, or tell of it."""
    if left <= 0:
        _tell(db, row, f"The certificate of host {row.name} has expired: enrol the host with a new token")
    elif not renew:
        _tell(
            db,
            row,
            f"The certificate of host {row.name} ends in {left / _DAY:.0f} days and automatic renewal is off: renew it "
            "by provisionCertificate",
        )
    else:
        key = f"host:{row.id}"
        if db.execute(
            sa.select(job_table.c.id).where(job_table.c.key == key, job_table.c.state.in_(ACTIVE)).limit(1)
        ).first():
            return  # it is renewed now, or the host is busy: at the next look
        log.info("renewing the certificate of a host", host=row.name, days_left=round(left / _DAY, 1))
        submit(
            db,
            provision,
            key=key,
            arguments={"host_id": row.id, "reconnect": False, "alone": True},
            cmd="",
            account_id=events.SYSTEM,
            domain_id=events.SYSTEM,
            user_id=events.SYSTEM,
            instance_type="Host",
            instance_uuid=row.uuid,
            deadline_seconds=3 * _CALL_SECONDS,
        )


def _tell(db: Connection, row: Row[Any], text: str) -> None:
    """Raise an alert, at most once a day."""
    log.warning("the certificate of a host needs somebody", host=row.name, why=text)
    alerts.record(db, ALERT, text, zone_id=row.zone_id, pod_id=row.pod_id, cluster_id=row.cluster_id, repeat=_DAY)
