"""The cloud's own certificate authority: what it signs, renews and refuses, with a real agent over mutual TLS."""

from __future__ import annotations

import datetime
import shutil
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from pileus.core import assembly, certificates, pki, renewal
from pileus.core.jobs.registry import periodics
from pileus.core.main import authority_folder
from pileus.core.mtls import client_context
from pileus.core.pki import Authority
from pileus.core.tables import certificate
from pileus.infrastructure import certification
from tests.support.cloud import Cloud, Refused
from tests.support.realhost import RealHost, agents_listener
from tests.support.waiting import until
from tests.support.zones import simulated_zone

DAY = 86400


@pytest.fixture
def listener(cloud: Cloud) -> Iterator[str]:
    """The cloud with an authority, and the URL of its listener for agents."""
    with agents_listener(cloud) as url:
        yield url


@pytest.fixture
def host(cloud: Cloud, listener: str, tmp_path: Path) -> Iterator[RealHost]:
    """A real agent that is a host of the cloud."""
    zone = simulated_zone(cloud, hosts=1)
    (cluster,) = cloud.list(
        "addCluster", zoneid=zone["zone"], podid=zone["pod"], clustername="real", clustertype="CloudManaged",
        hypervisor="KVM",
    )  # fmt: skip
    made = RealHost(cloud, tmp_path / "host", listener)
    made.enrol()
    made.start()
    try:
        made.add(zoneid=zone["zone"], podid=zone["pod"], clusterid=cluster["id"])
        yield made
    finally:
        made.stop()


def put(cloud: Cloud, name: str, value: Any) -> None:
    cloud.api("updateConfiguration", name=name, value=value)
    cloud.services.settings.expire()


def names(pem: str) -> list[str]:
    asked = x509.load_pem_x509_certificate(pem.encode()).extensions
    found = asked.get_extension_for_class(x509.SubjectAlternativeName).value
    return [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]


def days(pem: str) -> int:
    left = x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return round(left.total_seconds() / DAY)


def request(*wanted: str, bits: int = 2048) -> str:
    key = rsa.generate_private_key(65537, bits)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, wanted[0])])
    other = x509.SubjectAlternativeName([x509.DNSName(name) for name in wanted])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(other, critical=False)
    return csr.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_the_authority_shows_its_certificate(cloud: Cloud, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="simulated hosts only"):
        cloud.api("listCaCertificate")
    authority = Authority.open(tmp_path / "ca")
    cloud.services.plugins["authority"] = authority
    shown = cloud.api("listCaCertificate", cloud.user, provider="root")
    assert shown["cacertificates"] == {"cacertificates": authority.pem}
    assert [p["name"] for p in cloud.list("listCAProviders")] == ["root"]
    with pytest.raises(Refused, match="provider"):
        cloud.api("listCaCertificate", provider="other")


@pytest.mark.usefixtures("listener")
def test_certificates_are_issued_with_and_without_a_request(cloud: Cloud) -> None:
    put(cloud, "ca.framework.cert.validity.period", 90)
    made = cloud.job("issueCertificate", domain="www.example.org,example.org", ipaddress="192.0.2.7")
    assert names(made["certificate"]) == ["www.example.org", "example.org", "192.0.2.7"]
    assert days(made["certificate"]) == 90
    assert pki.fingerprint(made["cacertificates"]) == Authority.open(authority_folder(cloud.options)).fingerprint
    key = serialization.load_pem_private_key(made["privatekey"].encode(), None)
    assert key.public_key() == x509.load_pem_x509_certificate(made["certificate"].encode()).public_key()
    for file in cloud.options.home.glob("pileus.db*"):
        assert b"PRIVATE KEY" not in file.read_bytes()

    signed = cloud.job("issueCertificate", csr=request("a.example.org"), ipaddress="192.0.2.8", duration=7)
    assert (names(signed["certificate"]), days(signed["certificate"])) == (["a.example.org", "192.0.2.8"], 7)
    assert "privatekey" not in signed


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({}, "csr or domain is needed"),
        ({"csr": "no request"}, "PKCS#10"),
        ({"csr": request("small.example.org", bits=1024)}, "2048 bits"),
        ({"csr": request("pileus-server")}, "own servers and hosts"),
        ({"csr": request("server:one")}, "neither an address nor a DNS name"),
        ({"domain": "5b0d8b6c-3a3e-4ad6-9c57-0d1e60c8f1aa"}, "own servers and hosts"),
        ({"domain": "x.example.org", "ipaddress": "300.1.1.1"}, "ipaddress"),
        ({"domain": "x.example.org", "duration": 0}, "duration"),
        ({"domain": "x.example.org", "provider": "other"}, "provider"),
    ],
)
def test_what_is_not_signed(cloud: Cloud, asked: dict[str, Any], what: str) -> None:
    with pytest.raises(Refused, match=what) as caught:
        cloud.job("issueCertificate", **asked)
    assert caught.value.code == 431


@pytest.mark.usefixtures("listener")
def test_only_root_admins_issue_and_revoke(cloud: Cloud) -> None:
    for command, asked in (("issueCertificate", {"domain": "x.example.org"}), ("revokeCertificate", {"serial": "ab"})):
        with pytest.raises(Refused) as caught:
            cloud.api(command, cloud.domain_admin, **asked)  # type: ignore[arg-type]
        assert caught.value.code == 401


def test_a_host_gets_a_new_key_and_certificate_over_its_channel(cloud: Cloud, host: RealHost) -> None:
    before, key = host.serial, (host.keys / "agent.key").read_text()
    assert cloud.job("provisionCertificate", hostid=host.id) == {"success": True}
    assert host.serial != before
    assert (host.keys / "agent.key").read_text() != key
    assert not list(host.keys.glob("*.next"))
    assert host.presented() == host.serial
    assert host.report().status_code == 200
    host.stop()
    host.start()
    assert cloud.job("reconnectHost", id=host.id)["state"] == "Up"
    events = [e["state"] for e in cloud.list("listEvents", type="CA.CERTIFICATE.PROVISION")]
    assert sorted(events) == ["Completed", "Scheduled", "Started"]


def test_an_installation_that_was_cut_short_is_finished_at_the_next_start(cloud: Cloud, host: RealHost) -> None:
    former = (host.keys / "agent.key").read_bytes()
    host.stop()
    csr = pki.new_request(host.keys / "agent.key.next")
    signed = Authority.open(authority_folder(cloud.options)).sign_host(csr, host.settings.host, "127.0.0.1")
    (host.keys / "agent.crt.next").write_text(signed)
    (host.keys / "agent.key.next").rename(host.keys / "agent.key")  # dead between the two renames
    host.start()
    assert host.presented() == pki.serial_of(signed)
    assert (host.keys / "agent.key").read_bytes() != former


def test_simulated_hosts_have_no_certificate(cloud: Cloud, listener: str) -> None:
    assert listener
    simulated_zone(cloud, hosts=1)
    with pytest.raises(Refused, match="simulated"):
        cloud.api("provisionCertificate", hostid=cloud.list("listHosts", type="Routing")[0]["id"])


def test_a_revoked_certificate_is_refused_at_the_next_request(cloud: Cloud, host: RealHost, tmp_path: Path) -> None:
    stolen = tmp_path / "stolen"
    shutil.copytree(host.keys, stolen)
    assert host.report().status_code == 200
    with pytest.raises(Refused, match=r"certificate .* is of host:"):
        cloud.api("revokeCertificate", serial=host.serial, cn="host:another")
    shown = ":".join(host.serial.zfill(40)[n : n + 2].upper() for n in range(0, 40, 2))
    assert cloud.job("revokeCertificate", serial=shown, cn=f"host:{host.settings.host}") == {"success": True}
    assert cloud.job("revokeCertificate", serial=host.serial) == {"success": True}  # twice is as good as once
    answer = host.report()
    assert (answer.status_code, "revoked" in answer.json()["error"]) == (401, True)
    another = assembly.open_services(cloud.options, migrate=lambda _database: None)  # a server that starts now
    try:
        assert certificates.revoked(another, host.serial)
    finally:
        another.database.close()
    host.enrol()  # with a new token, and a new key
    assert host.report().status_code == 200
    assert host.report(stolen).status_code == 401


def test_no_operation_goes_to_a_host_whose_certificate_is_revoked(cloud: Cloud, host: RealHost) -> None:
    cloud.job("revokeCertificate", serial=host.serial)
    with pytest.raises(Refused, match="certificate was revoked"):
        cloud.job("reconnectHost", id=host.id)


@pytest.mark.usefixtures("listener")
def test_the_clouds_own_side_is_not_revoked(cloud: Cloud) -> None:
    folder = authority_folder(cloud.options)
    renewal.renew(cloud.services, Authority.open(folder), folder)
    for file in ("ca.crt", "server.crt"):
        with pytest.raises(Refused, match="own side"):
            cloud.api("revokeCertificate", serial=pki.serial_of((folder / file).read_text()))
    with pytest.raises(Refused, match="hexadecimal"):
        cloud.api("revokeCertificate", serial="one")


def ends_in(cloud: Cloud, serial: str, seconds: float) -> None:
    """Let the cloud believe that a certificate ends in so many seconds."""
    with cloud.services.database.write() as db:
        db.execute(sa.update(certificate).where(certificate.c.serial == serial).values(expires=time.time() + seconds))


def alerts(cloud: Cloud) -> list[str]:
    return [alert["description"] for alert in cloud.list("listAlerts", type=31)]


def look(cloud: Cloud) -> None:
    periodics["ca.background"].function(cloud.services)


def test_certificates_are_renewed_before_they_end(cloud: Cloud, host: RealHost) -> None:
    before = host.serial
    look(cloud)
    assert host.serial == before
    ends_in(cloud, before, 14 * DAY)
    put(cloud, "ca.framework.cert.expiry.alert.period", 10)
    look(cloud)
    put(cloud, "ca.framework.cert.expiry.alert.period", 15)
    assert (host.serial, alerts(cloud)) == (before, [])
    put(cloud, "ca.framework.background.task.delay", 1)  # the server looks by itself
    until(lambda: host.serial != before, 20, "the new certificate")
    assert alerts(cloud) == []


def test_operators_are_told_where_renewal_is_off_or_fails(cloud: Cloud, host: RealHost) -> None:
    before = host.serial
    put(cloud, "ca.framework.cert.automatic.renewal", "false")
    ends_in(cloud, before, 5 * DAY)
    look(cloud)
    look(cloud)
    (told,) = alerts(cloud)
    assert "ends in 5 days and automatic renewal is off" in told
    ends_in(cloud, before, -1)
    look(cloud)
    assert any("has expired" in text for text in alerts(cloud))
    assert host.serial == before


def test_operators_are_told_of_a_renewal_that_fails(
    cloud: Cloud, host: RealHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certification, "_CALL_SECONDS", 1)
    ends_in(cloud, host.serial, 5 * DAY)
    host.stop()
    look(cloud)
    until(lambda: any("could not be renewed" in text for text in alerts(cloud)), 20, "the alert")


def test_an_agent_does_not_renew_where_renewal_is_off(cloud: Cloud, host: RealHost) -> None:
    from pileus.agent.certificate import HostCertificate
    from pileus.agent.management import Management

    held = HostCertificate(host.keys)
    management = Management(host.folder, host.settings, held)
    before = host.serial
    try:
        put(cloud, "ca.framework.cert.automatic.renewal", "false")
        (host.keys / "renew-after").write_text("0")
        management.renew()
        assert host.serial == before
        held.postpone(0)
        put(cloud, "ca.framework.cert.automatic.renewal", "true")
        management.renew()
        assert host.serial != before
        assert host.report().status_code == 200
    finally:
        management.close()


@pytest.mark.usefixtures("listener")
def test_a_new_certificate_is_used_although_the_database_fails(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, loaded = authority_folder(cloud.options), list[str]()

    class Context(ssl.SSLContext):
        def load_cert_chain(self, certfile: Any, *_: Any, **__: Any) -> None:
            loaded.append(Path(certfile).read_text())

    def fail(*_: object) -> None:
        raise sa.exc.OperationalError("INSERT", {}, Exception("gone"))

    Authority.open(folder).issue_server(cloud.services.server, [], folder, days=0)
    monkeypatch.setattr(certificates, "record", fail)
    with pytest.raises(sa.exc.OperationalError):
        renewal.renew_due(cloud.services, folder, [Context(ssl.PROTOCOL_TLS_SERVER)])
    assert loaded == [(folder / "server.crt").read_text()]


@pytest.mark.usefixtures("listener")
def test_a_server_renews_its_own_certificate_while_it_runs(cloud: Cloud) -> None:
    folder = authority_folder(cloud.options)
    context: ssl.SSLContext = client_context(folder / "server.crt", folder / "server.key", folder / "ca.crt")
    assert renewal.renew_due(cloud.services, folder, [context]) is False
    old = (folder / "server.crt").read_text()
    authority = Authority.open(folder)
    authority.issue_server(cloud.services.server, [], folder, days=0)
    assert renewal.renew_due(cloud.services, folder, [context]) is True
    assert pki.serial_of((folder / "server.crt").read_text()) not in (pki.serial_of(old), "")
    assert days((folder / "server.crt").read_text()) == 365
