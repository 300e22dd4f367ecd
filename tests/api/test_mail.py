"""What the settings of mail servers do: TLS, its versions and certificates, signing in, times."""

from __future__ import annotations

import ssl
import time
from collections.abc import Generator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pileus.core import events, mailing
from pileus.core.tables import alert
from pileus.identity import password_reset
from pileus.identity.projects import settings as projects
from tests.support.cloud import Cloud, Refused
from tests.support.smtp import MailServer, certified, mail_server
from tests.support.waiting import until

SAFE = {"useStartTLS": True, "useAuth": True, "username": "postman", "password": "hush"}
DECLARED = {"alert.smtp": mailing.SMTP, "project.smtp": projects.SMTP, "user.password.reset.smtp": password_reset.SMTP}


def configure(cloud: Cloud, begin: str, **values: Any) -> None:
    for name, value in values.items():
        cloud.api("updateConfiguration", name=f"{begin}.{name}", value=value)


def mail_alert(cloud: Cloud, server: MailServer, **values: Any) -> Any:
    """Raise an alert, let it be mailed through a server with these settings, and return its row."""
    cloud.engine.stop(10)  # the periodic work is done by hand here
    cloud.api("updateConfiguration", name="alert.email.addresses", value="ops@cloud.test")
    configure(cloud, "alert.smtp", host="127.0.0.1", port=server.port, **values)
    with cloud.services.database.write() as db:
        events.alert(db, "ALERT.MANAGEMENT", "something burns")
    mailing.mail_alerts(cloud.services)
    with cloud.services.database.read() as db:
        return db.execute(sa.select(alert)).one()


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The side of a server whose certificate this machine trusts."""
    certificate, context = certified(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return context


def test_starttls_comes_before_the_password(cloud: Cloud, tls: ssl.SSLContext):
    with mail_server(tls=tls) as server:
        row = mail_alert(cloud, server, useStartTLS=True, useAuth=True, username="postman", password="the secret")
        assert row.mailed is not None
        assert server.encrypted == ["TLSv1.3"]
        assert server.credentials == ["\0postman\0the secret"]
        assert server.words.index("STARTTLS") < server.words.index("AUTH")
        (message,) = server.messages
        assert "something burns" in message.get_payload()


def test_without_useauth_nobody_signs_in(cloud: Cloud):
    with mail_server() as server:
        assert mail_alert(cloud, server, username="postman", password="the secret").mailed is not None
        assert server.credentials == []
        assert server.encrypted == []


def test_a_certificate_that_nobody_trusts_gets_nothing(cloud: Cloud, tmp_path: Path):
    _, context = certified(tmp_path)
    with mail_server(tls=context) as server:
        row = mail_alert(cloud, server, useStartTLS=True, useAuth=True, username="postman", password="the secret")
        assert (row.mailed, row.mail_tries) == (None, 1)
        assert (server.credentials, server.messages) == ([], [])


def test_a_server_without_starttls_gets_nothing_when_it_is_asked_for(cloud: Cloud):
    with mail_server() as server:
        row = mail_alert(cloud, server, useStartTLS=True, useAuth=True, username="postman", password="the secret")
        assert (row.mailed, row.mail_tries) == (None, 1)
        assert (server.credentials, server.messages) == ([], [])


@pytest.mark.parametrize(("protocols", "version"), [("TLSv1.2", "TLSv1.2"), ("TLSv1.2 TLSv1.3", "TLSv1.3")])
def test_the_versions_of_tls_are_those_of_the_setting(cloud: Cloud, tls: ssl.SSLContext, protocols: str, version: str):
    with mail_server(tls=tls) as server:
        row = mail_alert(cloud, server, useStartTLS=True, enabledSecurityProtocols=protocols)
        assert row.mailed is not None
        assert server.encrypted == [version]


def test_a_server_with_another_version_of_tls_gets_nothing(cloud: Cloud, tls: ssl.SSLContext):
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    with mail_server(tls=tls) as server:
        row = mail_alert(cloud, server, useStartTLS=True, enabledSecurityProtocols="TLSv1.3")
        assert (row.mailed, server.messages) == (None, [])


@pytest.mark.parametrize("begin", DECLARED)
def test_broken_versions_of_tls_are_refused(cloud: Cloud, begin: str):
    for text in ("TLSv1", "SSLv3 TLSv1.2", "tls"):
        with pytest.raises(Refused) as refused:
            configure(cloud, begin, enabledSecurityProtocols=text)
        assert refused.value.code == 431
        assert "TLSv1.2" in refused.value.text


def test_on_port_465_tls_begins_at_once(tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch):
    assert mailing.IMPLICIT_TLS_PORT == 465
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@cloud.test", "b@cloud.test", "hello"
    with mail_server(tls=tls, implicit=True) as server:
        monkeypatch.setattr(mailing, "IMPLICIT_TLS_PORT", server.port)  # 465 itself is root's to listen on
        mailing.send(mailing.Server(host="127.0.0.1", port=server.port), [message])
        assert server.encrypted == ["TLSv1.3"]
        assert server.messages[0]["Subject"] == "hello"


@pytest.mark.parametrize(
    ("silent", "limits"),
    [
        ("", {"connectiontimeout": 300}),
        ("EHLO", {"timeout": 300}),
        ("MAIL", {"timeout": 300}),
    ],
)
def test_a_silent_server_is_waited_for_no_longer_than_the_settings_say(
    cloud: Cloud, silent: str, limits: dict[str, int]
):
    with mail_server(silent=silent) as server:
        began = time.monotonic()
        row = mail_alert(cloud, server, **limits)
        assert time.monotonic() - began < 10  # the default is 30 s
        assert (row.mailed, row.mail_tries) == (None, 1)


@contextmanager
def secret_kept(cloud: Cloud, name: str) -> Generator[None]:
    """Check that a secure setting is neither shown nor stored as it is."""
    yield
    assert "value" not in cloud.list("listConfigurations", name=name)[0]
    with cloud.services.database.read() as db:
        stored = db.execute(sa.text("SELECT value FROM setting WHERE name = :name"), {"name": name}).scalar_one()
    assert "hush" not in stored


@pytest.mark.parametrize("begin", DECLARED)
def test_every_kind_of_mail_has_its_own_server(cloud: Cloud, begin: str):
    assert DECLARED[begin].server(cloud.services) is None
    with secret_kept(cloud, f"{begin}.password"):
        configure(
            cloud,
            begin,
            host="mail.cloud.test",
            port=2525,
            useStartTLS=True,
            useAuth=True,
            username="postman",
            password="hush",
            enabledSecurityProtocols="TLSv1.3",
        )
    expected = mailing.Server(
        host="mail.cloud.test",
        port=2525,
        start_tls=True,
        protocols="TLSv1.3",
        username="postman",
        password="hush",
    )
    assert DECLARED[begin].server(cloud.services) == expected
    assert [other for other, each in DECLARED.items() if each.server(cloud.services)] == [begin]


def test_invitations_go_by_tls_too(cloud: Cloud, tls: ssl.SSLContext):
    project = cloud.job("createProject", cloud.user, name="apollo", displaytext="a project")["id"]
    cloud.api("updateConfiguration", name="project.invite.required", value="true")
    with mail_server(tls=tls) as server:
        safe = SAFE | {"enabledSecurityProtocols": "TLSv1.2"}
        configure(cloud, "project.smtp", host="127.0.0.1", port=server.port, **safe)
        cloud.job("addAccountToProject", cloud.user, projectid=project, email="guest@cloud.test")
        assert server.encrypted == ["TLSv1.2"]
        assert server.credentials == ["\0postman\0hush"]
        assert [message["To"] for message in server.messages] == ["guest@cloud.test"]


def test_tokens_for_new_passwords_go_by_tls_too(cloud: Cloud, tls: ssl.SSLContext):
    assert cloud.user.name == "user"
    with mail_server(tls=tls) as server:
        safe = SAFE | {"enabledSecurityProtocols": "TLSv1.2"}
        configure(cloud, "user.password.reset.smtp", host="127.0.0.1", port=server.port, **safe)
        configure(cloud, "user.password.reset", enabled=True, **{"mail.domain.url": "https://cloud.test"})
        form = {"command": "forgotPassword", "username": "user", "domain": "tests", "response": "json"}
        assert cloud.send("POST", data=form).status_code == 200
        until(lambda: server.messages, 10)
        assert server.encrypted == ["TLSv1.2"]
        assert server.credentials == ["\0postman\0hush"]
