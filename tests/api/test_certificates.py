"""The cloud's own certificate authority, as the API shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pileus.core.pki import Authority
from tests.support.cloud import Cloud, Refused


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
