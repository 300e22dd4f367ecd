"""Downloads of templates from URLs: from which addresses, and whom HTTPS servers are trusted by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pileus.core import pki
from pileus.core.tables import setting
from tests.api.test_templates import directory_zone, qcow2, register, shown
from tests.support.cloud import Cloud, Refused
from tests.support.waiting import until
from tests.support.web import Answer, web

ALLOWED = "secstorage.allowed.internal.sites"


@pytest.fixture
def zone(cloud: Cloud, tmp_path: Path) -> dict[str, str]:
    return directory_zone(cloud, tmp_path)


@pytest.fixture
def image(tmp_path: Path) -> bytes:
    return qcow2(tmp_path / "image.qcow2").read_bytes()


def allow(cloud: Cloud, networks: str) -> None:
    cloud.api("updateConfiguration", name=ALLOWED, value=networks)
    cloud.services.settings.expire()


def asked(cloud: Cloud, zone: dict[str, str], url: str, name: str = "t") -> dict[str, Any]:
    """Register a template as a user: root admins may name any address."""
    of = {"format": "QCOW2", "hypervisor": "Simulator", "zoneid": zone["zone"]}
    return cloud.api("registerTemplate", cloud.user, url=url, name=name, displaytext=name, **of)["template"][0]


def status(cloud: Cloud, made: dict[str, Any]) -> str:
    until(lambda: shown(cloud, made["id"]).get("status", "").startswith(("Download Complete", "the ")), 10)
    return shown(cloud, made["id"])["status"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]", "[64:ff9b::7f00:1]", "0.0.0.0"]
)
def test_internal_addresses_are_refused_at_once(cloud: Cloud, zone: dict[str, str], host: str) -> None:
    with pytest.raises(Refused, match="internal address") as caught:
        asked(cloud, zone, f"http://{host}:9/x.qcow2")
    assert caught.value.code == 431
    assert cloud.list("listTemplates", templatefilter="all") == []


def test_a_name_that_leads_inside_is_refused_by_the_download(cloud: Cloud, zone: dict[str, str], image: bytes) -> None:
    with web(lambda _path: (200, {}, image)) as server:
        made = asked(cloud, zone, f"http://localhost:{server.port}/x.qcow2")
        assert "is an internal address" in status(cloud, made)
        assert server.asked == []
        allow(cloud, "127.0.0.0/8, ::1/128")
        made = asked(cloud, zone, f"http://localhost:{server.port}/x.qcow2", "allowed")
        assert status(cloud, made) == "Download Complete"


def test_every_redirect_is_checked(cloud: Cloud, zone: dict[str, str], image: bytes) -> None:
    allow(cloud, "127.0.0.1/32")

    def answer(path: str) -> Answer:
        to = {"/out": "http://127.0.0.2:1/", "/loop": "/loop", "/file": "file:///etc/passwd"}.get(path)
        return (302, {"Location": to}, b"") if to else (200, {}, image)

    with web(answer) as server:
        base = f"http://127.0.0.1:{server.port}"
        assert "127.0.0.2 is an internal address" in status(cloud, asked(cloud, zone, f"{base}/out", "out"))
        assert "redirects" in status(cloud, asked(cloud, zone, f"{base}/loop", "loop"))
        assert "http or https" in status(cloud, asked(cloud, zone, f"{base}/file", "file"))


def test_root_admins_may_name_addresses_inside_but_redirects_may_not(
    cloud: Cloud, zone: dict[str, str], image: bytes
) -> None:
    def answer(path: str) -> Answer:
        return (302, {"Location": "http://127.0.0.2:1/"}, b"") if path == "/out" else (200, {}, image)

    with web(answer) as server:
        base = f"http://127.0.0.1:{server.port}"
        assert status(cloud, register(cloud, zone, Path("/"), url=f"{base}/x", name="in")) == "Download Complete"
        made = register(cloud, zone, Path("/"), url=f"{base}/out", name="out")
        assert "127.0.0.2 is an internal address" in status(cloud, made)


@pytest.mark.parametrize("text", ["10.0.0.0/33", "example.org", "10.0.0.0/8;fd00::/8"])
def test_the_setting_holds_networks(cloud: Cloud, text: str) -> None:
    with pytest.raises(Refused, match="must be networks") as caught:
        allow(cloud, text)
    assert caught.value.code == 431


def test_a_private_authority_is_trusted_once_it_is_uploaded(
    cloud: Cloud, zone: dict[str, str], image: bytes, tmp_path: Path
) -> None:
    allow(cloud, "127.0.0.1/32")
    authority = pki.Authority.open(tmp_path / "ca")
    authority.issue_server("templates", ["127.0.0.1"], tmp_path / "web")
    of: dict[str, Any] = {"zoneid": zone["zone"], "hypervisor": "Simulator"}
    files = {"certificate": tmp_path / "web" / "server.crt", "key": tmp_path / "web" / "server.key"}
    with web(lambda _path: (200, {}, image), **files) as server:
        url = f"https://127.0.0.1:{server.port}/x.qcow2"
        assert "certificate verify failed" in status(cloud, asked(cloud, zone, url, "before"))
        upload: dict[str, Any] = {"name": "ours", "certificate": authority.pem, **of}
        made = cloud.api("uploadTemplateDirectDownloadCertificate", **upload)
        made = made["uploadtemplatedirectdownloadcertificate"]
        assert (made["alias"], made["zoneid"], made["hypervisor"]) == ("ours", zone["zone"], "Simulator")
        assert made["serialnum"] == format(authority.certificate.serial_number, "X")
        assert made["subject"].startswith("CN=Pileus ")
        assert status(cloud, asked(cloud, zone, url, "after")) == "Download Complete"
        assert cloud.list("listTemplateDirectDownloadCertificates", id=made["id"], zoneid=zone["zone"]) == [made]
        (shown_with_hosts,) = cloud.list("listTemplateDirectDownloadCertificates", listhosts=True, keyword="OUR")
        assert shown_with_hosts == made | {"hostsmap": []}
        with pytest.raises(Refused, match="already exists"):
            cloud.api("uploadTemplateDirectDownloadCertificate", **upload)
        named: dict[str, Any] = {"name": "ours", **of}
        assert cloud.api("revokeTemplateDirectDownloadCertificate", **named) == {}
        assert cloud.list("listTemplateDirectDownloadCertificates") == []
        assert "certificate verify failed" in status(cloud, asked(cloud, zone, url, "revoked"))
        with pytest.raises(Refused, match="no such certificate"):
            cloud.api("revokeTemplateDirectDownloadCertificate", **named)


PROXY = "secstorage.proxy"


def test_a_proxy_of_the_environment_is_not_used(
    cloud: Cloud, zone: dict[str, str], image: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(cloud, "127.0.0.1/32")
    with web(lambda _path: (200, {}, image)) as server, web(lambda _path: (502, {}, b"")) as proxy:
        for name in ("http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert status(cloud, asked(cloud, zone, f"http://127.0.0.1:{server.port}/x")) == "Download Complete"
        assert (server.asked, proxy.asked) == (["/x"], [])


def test_the_proxy_of_the_setting_is_used(cloud: Cloud, zone: dict[str, str], image: bytes) -> None:
    def answer(path: str) -> Answer:
        return (302, {"Location": "http://169.254.169.254/"}, b"") if path.endswith("/out") else (200, {}, image)

    with web(answer) as proxy:
        cloud.api("updateConfiguration", name=PROXY, value=f"http://me:let-me-pass@127.0.0.1:{proxy.port}")
        url = "http://images.invalid/x.qcow2"  # a name that only the proxy knows
        assert status(cloud, asked(cloud, zone, url)) == "Download Complete"
        assert proxy.asked == [url]
        inside = status(cloud, asked(cloud, zone, "http://images.invalid/out", "out"))
        assert "169.254.169.254 is an internal address" in inside
        assert "is an internal address" in status(cloud, asked(cloud, zone, "http://localhost/x", "in"))
        assert len(proxy.asked) == 2
        cloud.api("resetConfiguration", name=PROXY)
        assert "cannot be resolved" in status(cloud, asked(cloud, zone, url, "direct"))


def test_the_proxy_is_kept_secret_and_checked(cloud: Cloud) -> None:
    made = cloud.api("updateConfiguration", name=PROXY, value="http://me:let-me-pass@proxy:3128")["configuration"]
    assert (made["category"], made.get("value")) == ("Secure", None)
    with cloud.services.database.read() as db:
        assert "let-me-pass" not in repr(db.execute(sa.select(setting)).all())
    for wrong in ("socks5://me:let-me-pass@proxy:1", "let-me-pass:3128", "http://", "http://proxy/let-me-pass"):
        with pytest.raises(Refused, match="must look like http://PROXY:PORT") as caught:
            cloud.api("updateConfiguration", name=PROXY, value=wrong)
        assert caught.value.code == 431
        assert "let-me-pass" not in caught.value.text


def test_only_root_admins_and_only_certificates(cloud: Cloud, zone: dict[str, str]) -> None:
    upload: dict[str, Any] = {"name": "x", "zoneid": zone["zone"], "hypervisor": "KVM", "certificate": "no certificate"}
    with pytest.raises(Refused) as caught:
        cloud.api("uploadTemplateDirectDownloadCertificate", cloud.domain_admin, **upload)
    assert caught.value.code == 401
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "PEM"),
        ({"hypervisor": "Bochs"}, "hypervisor"),
        ({"name": " "}, "name"),
    ]
    for wrong, what in cases:
        with pytest.raises(Refused, match=what):
            cloud.api("uploadTemplateDirectDownloadCertificate", **(upload | wrong))
    with pytest.raises(Refused, match="needed"):
        cloud.api("revokeTemplateDirectDownloadCertificate", zoneid=zone["zone"], name="x")
