"""Settings of directories at work, against a real slapd: what is read, who is in a group, whom TLS believes."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from pileus.core import pki
from tests.api import test_ldap as ldap
from tests.support.cloud import Cloud, Refused
from tests.support.ldap import SLAPD, Slapd, slapd

pytestmark = pytest.mark.skipif(shutil.which(SLAPD) is None, reason="needs slapd (Debian package slapd)")

one, home = ldap.one, ldap.home


def put(cloud: Cloud, name: str, value: Any) -> None:
    cloud.api("updateConfiguration", name=f"ldap.{name}", value=value)


def reset(cloud: Cloud, name: str) -> None:
    cloud.api("resetConfiguration", name=f"ldap.{name}")


def names(cloud: Cloud, home: str) -> list[str]:
    return sorted(each["username"] for each in cloud.list("listLdapUsers", domainid=home))


def test_people_are_read_by_the_attributes_that_the_settings_name(cloud: Cloud, home: str, one: Slapd) -> None:
    def alice() -> dict[str, Any]:
        return next(e for e in cloud.list("listLdapUsers", domainid=home) if e["principal"] == one.dn("alice"))

    usual = alice()
    assert (usual["username"], usual["email"]) == ("alice", "alice@ldap.test")
    assert (usual["firstname"], usual["lastname"]) == ("First alice", "Last alice")
    for name, value in (
        ("username.attribute", "mail"),
        ("email.attribute", "cn"),
        ("firstname.attribute", "sn"),
        ("lastname.attribute", "givenName"),
    ):
        put(cloud, name, value)
    other = alice()
    assert (other["username"], other["email"]) == ("alice@ldap.test", "alice")
    assert (other["firstname"], other["lastname"]) == ("Last alice", "First alice")
    put(cloud, "user.object", "organizationalUnit")
    assert names(cloud, home) == []  # units have no mail


def test_groups_are_what_the_settings_say(cloud: Cloud, home: str, one: Slapd) -> None:
    link: dict[str, Any] = {"domainid": home, "account": "juniors", "accounttype": 0, "type": "GROUP"}
    put(cloud, "group.object", "groupOfNames")
    with pytest.raises(Refused, match="no group 'juniors'"):
        cloud.list("importLdapUsers", domainid=home, group="juniors", accounttype=0)
    reset(cloud, "group.object")
    put(cloud, "search.group.principle", one.group("juniors"))
    assert names(cloud, home) == ["bob"]
    put(cloud, "user.memberof.attribute", "description")
    assert names(cloud, home) == []
    reset(cloud, "search.group.principle")
    cloud.api("linkAccountToLdap", ldapdomain=one.group("juniors"), **link)
    assert ldap.can(cloud, "bob")  # as the group says
    put(cloud, "group.user.uniquemember", "owner")
    assert not ldap.can(cloud, "bob")  # as nobody says
    reset(cloud, "user.memberof.attribute")
    assert ldap.can(cloud, "bob")  # as bob's entry says


def test_groups_in_groups_are_asked_for_by_the_rule_of_active_directory(cloud: Cloud, home: str, one: Slapd) -> None:
    put(cloud, "search.group.principle", one.group("juniors"))
    assert names(cloud, home) == ["bob"]
    put(cloud, "provider", "microsoftad")
    assert names(cloud, home) == []  # this server does not know the rule
    put(cloud, "nested.groups.enable", "false")
    assert names(cloud, home) == ["bob"]
    put(cloud, "nested.groups.enable", "true")
    put(cloud, "provider", "openldap")
    assert names(cloud, home) == ["bob"]


def test_a_silent_server_is_waited_for_as_long_as_the_setting_says(cloud: Cloud, home: str, one: Slapd) -> None:
    def waited() -> float:
        began = time.monotonic()
        with pytest.raises(Refused) as refused:
            names(cloud, home)
        assert refused.value.code == 534
        return time.monotonic() - began

    one.pause()
    try:
        usual = waited()
        put(cloud, "read.timeout", 4000)
        assert waited() > usual + 1.5
    finally:
        one.resume()
    assert names(cloud, home) == ["alice", "bob", "carol"]


def test_servers_are_believed_by_the_trust_store(cloud: Cloud, tmp_path: Path) -> None:
    ours, others = (pki.Authority.open(tmp_path / name) for name in ("ours", "others"))
    ours.issue_server("directory", ["127.0.0.1"], tmp_path / "web")
    tls = (tmp_path / "web" / "server.crt").read_bytes(), (tmp_path / "web" / "server.key").read_bytes()
    home = cloud.domain("tests")["id"]
    for name, authority in (("ours.pem", ours), ("others.pem", others)):
        (tmp_path / name).write_text(authority.pem)
    sealed = pkcs12.serialize_key_and_certificates(
        None, None, None, [ours.certificate], BestAvailableEncryption(b"open sesame")
    )
    (tmp_path / "ours.p12").write_bytes(sealed)
    with slapd(tls=tls) as directory:
        directory.port, plain = directory.secure_port, directory.port
        put(cloud, "truststore", tmp_path / "ours.pem")
        ldap.set_up(cloud, directory)
        directory.port = plain
        assert names(cloud, home) == ["alice", "bob", "carol"]
        put(cloud, "truststore", tmp_path / "others.pem")
        with pytest.raises(Refused, match="certificate verify failed"):
            names(cloud, home)
        put(cloud, "truststore", tmp_path / "ours.p12")
        with pytest.raises(Refused, match=r"ldap\.truststore") as refused:
            names(cloud, home)
        assert refused.value.code == 534
        put(cloud, "truststore.password", "open sesame")
        assert names(cloud, home) == ["alice", "bob", "carol"]
