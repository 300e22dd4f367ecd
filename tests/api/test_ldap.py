"""Sign-in by LDAP against a real slapd: whose password counts, what links make and take, and who may set it up."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12Certificate, serialize_java_truststore

from pileus.core.tables import setting
from pileus.identity.ldap.sweeping import sweep
from pileus.identity.tables import failure
from tests.support.cloud import PASSWORD, Cloud, Person, Refused
from tests.support.ldap import ROOT_PASSWORD, SLAPD, Slapd, certificate, slapd

pytestmark = pytest.mark.skipif(shutil.which(SLAPD) is None, reason="needs slapd (Debian package slapd)")


@pytest.fixture
def one() -> Iterator[Slapd]:
    """A directory."""
    with slapd() as running:
        yield running


def set_up(cloud: Cloud, of: Slapd, domain: str | None = None) -> None:
    """Let the cloud, or a domain of it, use a directory."""
    cloud.api("addLdapConfiguration", hostname="127.0.0.1", port=of.port, domainid=domain)
    values: dict[str, str] = {"basedn": of.suffix, "bind.principal": of.principal, "bind.password": ROOT_PASSWORD}
    for name, value in values.items():
        cloud.api("updateConfiguration", name=f"ldap.{name}", value=value, domainid=domain)


def login(cloud: Cloud, username: str, password: str, domain: str = "tests") -> httpx.Response:
    """Sign in as a person of the directory, from an address that has guessed nothing so far."""
    cloud.forget_cookies()
    with cloud.services.database.write() as db:
        db.execute(sa.delete(failure))
    form = {"command": "login", "response": "json", "username": username, "password": password, "domain": domain}
    return cloud.send("POST", data=form)


def can(cloud: Cloud, username: str, password: str | None = None, domain: str = "tests") -> bool:
    return login(cloud, username, password or f"secret of {username}", domain).status_code == 200


def created(cloud: Cloud, username: str, domain: str, **more: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"accounttype": 0} | more
    return cloud.api("ldapCreateAccount", username=username, domainid=domain, **values)["account"]


def user_of(cloud: Cloud, username: str) -> dict[str, Any]:
    (found,) = cloud.list("listUsers", username=username, listall=True)
    return found


def keys_of(cloud: Cloud, username: str) -> Person:
    keys = cloud.api("registerUserKeys", id=user_of(cloud, username)["id"])["userkeys"]
    return Person(username, keys["apikey"], keys["secretkey"])


@pytest.fixture
def home(cloud: Cloud, one: Slapd) -> str:
    """A domain, "tests", of a cloud that is set up with the directory."""
    set_up(cloud, one)
    return cloud.domain("tests")["id"]


def test_somebody_who_was_imported_signs_in_with_the_password_of_the_directory(cloud: Cloud, home: str, one: Slapd):
    account = created(cloud, "alice", home, account="crew", timezone="Europe/London", accountdetails={"a": "b"})
    (user,) = account["user"]
    assert (account["name"], account["accountdetails"]) == ("crew", {"a": "b"})
    shown = {name: user[name] for name in ("username", "firstname", "lastname", "email", "usersource", "timezone")}
    assert shown == {
        "username": "alice",
        "firstname": "First alice",
        "lastname": "Last alice",
        "email": "alice@ldap.test",
        "usersource": "ldap",
        "timezone": "Europe/London",
    }
    answer = login(cloud, "alice", "secret of alice").json()["loginresponse"]
    assert (answer["account"], answer["username"]) == ("crew", "alice")
    assert can(cloud, "ALICE", "secret of alice")  # as the directory has it: no case of letters
    for wrong in ("secret of bob", "Secret of alice", "!", "*", PASSWORD):
        assert login(cloud, "alice", wrong).status_code == 531
    one.change(f"dn: {one.dn('alice')}\nchangetype: modify\nreplace: userPassword\nuserPassword: changed\n")
    assert not can(cloud, "alice")
    assert can(cloud, "alice", "changed")
    second = created(cloud, "bob", home, account="crew")  # into the account that is there
    assert [each["username"] for each in second["user"]] == ["alice", "bob"]
    assert [u["username"] for u in cloud.list("listUsers", usersource="ldap", listall=True)] == ["alice", "bob"]
    assert not can(cloud, "carol")  # in the directory, but nobody made a user


def test_no_password_is_never_right(cloud: Cloud, home: str, one: Slapd):
    created(cloud, "alice", home)
    for nothing in ("", " ", "\u00ad", "\u200b", "\u00ad\u200b"):  # preparing (RFC 4013) leaves nothing of these
        assert login(cloud, "alice", nothing).status_code in (431, 531)
    assert one.port  # this slapd lets a name without a password in, as nobody: see tests/support/ldap.py


def test_names_are_names_and_no_filters(cloud: Cloud, home: str, one: Slapd):
    cloud.api("linkDomainToLdap", domainid=home, accounttype=0, type="OU", ldapdomain=f"ou=people,{one.suffix}")
    for name in (
        "*",
        "al*",
        "alice)(uid=*",
        "*)(objectClass=*",
        "alice)(|(uid=*",
        "\\61lice",
        "alice ",
        " alice",
        "ａlice",
    ):
        assert login(cloud, name, "secret of alice").status_code in (430, 431, 531), name
    assert cloud.list("listUsers", usersource="ldap", listall=True) == []
    one.add(
        f"dn: uid=o\\,dd\\2A(x),ou=people,{one.suffix}\nobjectClass: inetOrgPerson\nuid: o,dd*(x)\ncn: odd\nsn: Odd\n"
        "userPassword: secret of odd\n"
    )
    assert can(cloud, "o,dd*(x)", "secret of odd")
    assert user_of(cloud, "o,dd*(x)")["account"] == "o,dd*(x)"
    assert [each["username"] for each in cloud.list("searchLdap", query="dd*(")] == ["o,dd*(x)"]


def test_own_users_sign_in_while_the_directory_is_down(cloud: Cloud, home: str, one: Slapd):
    cloud.api("linkDomainToLdap", domainid=home, accounttype=0, type="OU", ldapdomain=f"ou=people,{one.suffix}")
    assert cloud.user.name == "user"
    assert can(cloud, "alice")
    one.stop()
    assert can(cloud, "user", PASSWORD)
    assert not can(cloud, "user", "secret of user")
    refused = login(cloud, "alice", "secret of alice")
    assert refused.status_code == 531
    assert "127.0.0.1" not in refused.text
    assert user_of(cloud, "alice")["state"] == "enabled"  # that nobody answers says nothing of alice
    with cloud.services.database.read() as db:
        assert db.execute(sa.select(failure)).all() == []  # nothing was guessed
    with pytest.raises(Refused) as error:
        cloud.list("listLdapUsers")
    assert error.value.code == 534
    one.start()
    assert can(cloud, "alice")
    one.pause()  # takes the connection and falls silent
    began = time.monotonic()
    assert not can(cloud, "alice")
    assert time.monotonic() - began < 5
    one.resume()
    assert can(cloud, "alice")


def test_an_own_user_is_never_taken_over(cloud: Cloud, home: str, one: Slapd):
    assert cloud.user.name == "user"
    one.person("user")
    cloud.api("linkDomainToLdap", domainid=home, accounttype=2, type="OU", ldapdomain=f"ou=people,{one.suffix}")
    assert not can(cloud, "user")
    assert not can(cloud, "USER", "secret of user")
    assert can(cloud, "user", PASSWORD)
    with pytest.raises(Refused, match="has a user user already"):
        created(cloud, "user", home, account="another")
    one.change(f"dn: {one.dn('carol')}\nchangetype: modify\nreplace: uid\nuid: carol\nuid: other\n")
    assert cloud.other.name == "other"
    assert not can(cloud, "other", "secret of carol")
    assert can(cloud, "other", PASSWORD)


def test_the_next_server_answers_for_a_dead_one(cloud: Cloud, home: str, one: Slapd):
    with slapd("dc=two,dc=test") as dead:
        cloud.api("addLdapConfiguration", hostname="localhost", port=dead.port)
    created(cloud, "alice", home)
    assert can(cloud, "alice")
    (server,) = cloud.list("listLdapConfigurations", hostname="127.0.0.1")
    cloud.api("deleteLdapConfiguration", id=server["id"])
    assert not can(cloud, "alice")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and does not listen
        with pytest.raises(Refused, match="does not answer") as error:
            cloud.api("addLdapConfiguration", hostname="127.0.0.1", port=free.getsockname()[1])
    assert error.value.code == 431


def test_each_domain_has_its_own_directory(cloud: Cloud, one: Slapd):
    first, second = cloud.domain("first")["id"], cloud.domain("second")["id"]
    with slapd("dc=two,dc=test") as two:
        two.change(f"dn: {two.dn('alice')}\nchangetype: modify\nreplace: userPassword\nuserPassword: other secret\n")
        set_up(cloud, one, first)
        set_up(cloud, two, second)
        for within in (first, second):
            created(cloud, "alice", within)
        assert can(cloud, "alice", "secret of alice", "first")
        assert not can(cloud, "alice", "other secret", "first")
        assert can(cloud, "alice", "other secret", "second")
        assert not can(cloud, "alice", "secret of alice", "second")
        found = {each["principal"] for each in cloud.list("listLdapUsers", domainid=second)}
        assert found == {two.dn(name) for name in ("alice", "bob", "carol")}
        assert cloud.list("listLdapConfigurations") == []  # none is for all
        assert len(cloud.list("listLdapConfigurations", listall=True)) == 2
        (server,) = cloud.list("listLdapConfigurations", domainid=first)
        assert (server["hostname"], server["port"], server["domainid"]) == ("127.0.0.1", one.port, first)
    assert not can(cloud, "alice", "other secret", "second")
    assert can(cloud, "alice", "secret of alice", "first")


def test_a_linked_unit_makes_accounts_at_the_first_sign_in(cloud: Cloud, home: str, one: Slapd):
    one.person("dora", unit="guests")
    linked = cloud.api(
        "linkDomainToLdap", domainid=home, accounttype=0, type="ou", ldapdomain=f"ou=people,{one.suffix}", admin="carol"
    )["LinkDomainToLdap"]
    assert (linked["type"], linked["accounttype"], linked["domainid"]) == ("OU", 0, home)
    (admin,) = cloud.list("listAccounts", id=linked["accountid"])
    assert (admin["name"], admin["roletype"]) == ("carol", "DomainAdmin")
    assert can(cloud, "carol")
    assert not can(cloud, "alice", "wrong")
    assert cloud.list("listUsers", username="alice", listall=True) == []
    assert can(cloud, "alice")
    assert user_of(cloud, "alice") | {"account": "alice", "roletype": "User", "usersource": "ldap"} == user_of(
        cloud, "alice"
    )
    assert not can(cloud, "dora")
    one.change(
        f"dn: {one.dn('alice')}\nchangetype: modrdn\nnewrdn: uid=alice\ndeleteoldrdn: 1\n"
        f"newsuperior: ou=guests,{one.suffix}\n"
    )
    assert not can(cloud, "alice")
    assert user_of(cloud, "alice")["state"] == "disabled"


def test_linked_groups_place_people_in_accounts_and_take_them_out(cloud: Cloud, home: str, one: Slapd):
    for account, group, type_ in (("seniors", "seniors", 2), ("juniors", "juniors", 0)):
        linked = cloud.api(
            "linkAccountToLdap",
            domainid=home,
            account=account,
            accounttype=type_,
            type="GROUP",
            ldapdomain=one.group(group),
        )["linkAccountToLdap"]
        assert (linked["account"], linked["accounttype"], linked["ldapdomain"]) == (account, type_, one.group(group))
    assert can(cloud, "alice")
    assert can(cloud, "bob")
    assert not can(cloud, "carol")  # in neither
    assert (user_of(cloud, "alice")["account"], user_of(cloud, "alice")["roletype"]) == ("seniors", "DomainAdmin")
    bob = keys_of(cloud, "bob")
    assert cloud.list("listUsers", bob)[0]["account"] == "juniors"
    one.join("bob", "seniors")
    assert not can(cloud, "bob")  # in both: nobody can say which
    assert user_of(cloud, "bob")["state"] == "disabled"
    assert cloud.request("listUsers", bob).status_code == 401  # keys stop too
    one.leave("bob", "juniors")
    assert can(cloud, "bob")  # in one again, the other one
    assert (user_of(cloud, "bob")["account"], user_of(cloud, "bob")["state"]) == ("seniors", "enabled")
    assert cloud.list("listUsers", bob, username="bob")[0]["account"] == "seniors"
    one.leave("bob", "seniors")
    assert not can(cloud, "bob", "wrong")
    assert user_of(cloud, "bob")["state"] == "disabled"
    one.join("bob", "juniors")
    assert can(cloud, "bob")
    cloud.job("disableUser", id=user_of(cloud, "bob")["id"])  # by an admin: the directory does not undo that
    assert not can(cloud, "bob")
    assert user_of(cloud, "bob")["state"] == "disabled"


def test_keys_of_who_has_left_stop_without_a_sign_in(cloud: Cloud, home: str, one: Slapd):
    link: dict[str, Any] = {"domainid": home, "account": "juniors", "ldapdomain": one.group("juniors")}
    cloud.api("linkAccountToLdap", **link)
    one.join("carol", "juniors")
    assert can(cloud, "bob")
    assert can(cloud, "carol")
    bob = keys_of(cloud, "bob")
    one.leave("bob", "juniors")
    assert cloud.request("listUsers", bob).status_code == 200
    one.stop()
    sweep(cloud.services)  # nobody answers: nothing is known
    assert user_of(cloud, "bob")["state"] == "enabled"
    one.start()
    sweep(cloud.services)
    assert cloud.request("listUsers", bob).status_code == 401
    assert (user_of(cloud, "bob")["state"], user_of(cloud, "carol")["state"]) == ("disabled", "enabled")
    one.join("bob", "juniors")
    assert can(cloud, "bob")
    cloud.api("updateConfiguration", name="ldap.basedn", value="dc=wrong")
    sweep(cloud.services)  # nobody at all is found: a mistake of ours, not of theirs
    assert user_of(cloud, "bob")["state"] == "enabled"


def many_at_once(cloud: Cloud, one: Slapd) -> None:
    home = cloud.domain("tests")["id"]
    cloud.api("linkDomainToLdap", domainid=home, accounttype=0, type="GROUP", ldapdomain=one.group("seniors"))
    form = {"command": "login", "response": "json", "username": "alice", "domain": "tests"}

    codes: list[int] = []

    def once() -> None:
        codes.append(cloud.send("POST", data=form | {"password": "secret of alice"}).status_code)

    threads = [threading.Thread(target=once) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert codes == [200] * 6
    assert len(cloud.list("listUsers", username="alice", listall=True)) == 1
    assert not can(cloud, "bob")


def test_many_first_sign_ins_at_once_make_one_user(cloud: Cloud, one: Slapd):
    set_up(cloud, one)
    many_at_once(cloud, one)


@pytest.mark.postgres
def test_so_they_do_on_postgresql(tmp_path: Path, postgres_url: str, one: Slapd):
    with Cloud.start(tmp_path, database=postgres_url) as cloud:
        set_up(cloud, one)
        many_at_once(cloud, one)


@pytest.mark.parametrize("form", ["pem", "pkcs12"])
def test_tls_is_spoken_and_the_server_must_be_vouched_for(cloud: Cloud, tmp_path: Path, form: str):
    mine, key = certificate()
    other, _ = certificate()
    file = tmp_path / "trust"
    secret = ""
    if form == "pem":
        file.write_bytes(mine)
    else:
        secret = "changeit"
        store = serialize_java_truststore(
            [PKCS12Certificate(x509.load_pem_x509_certificate(mine), b"directory")],
            BestAvailableEncryption(secret.encode()),
        )
        file.write_bytes(store)
    with slapd(tls=(mine, key)) as one:
        values: dict[str, Any] = {"hostname": "127.0.0.1", "port": one.secure_port, "searchbase": one.suffix}
        values |= {"binddn": one.principal, "bindpass": ROOT_PASSWORD}
        wrongs: list[dict[str, Any]] = [{"ssl": True}, {"ssl": False, "truststore": str(file)}]
        for wrong in [*wrongs, {"truststore": str(tmp_path / "none")}]:
            assert cloud.request("ldapConfig", cloud.root, **values, **wrong).status_code == 431, wrong
        (tmp_path / "other").write_bytes(other)
        with pytest.raises(Refused, match="CERTIFICATE_VERIFY_FAILED"):
            cloud.list("ldapConfig", **values, truststore=str(tmp_path / "other"))
        (shown,) = cloud.list("ldapConfig", **values, truststore=str(file), truststorepass=secret, ssl=True)
        assert shown["ssl"] == "true"
        home = cloud.domain("tests")["id"]
        created(cloud, "alice", home)
        assert can(cloud, "alice")
        assert not can(cloud, "alice", "wrong")
        with pytest.raises(Refused, match="does not answer"):  # the certificate is for the address alone
            cloud.api("addLdapConfiguration", hostname="localhost", port=one.secure_port)
        file.write_bytes(b"\xfe\xed\xfe\xed\0\0\0\2")
        with pytest.raises(Refused, match="JKS"):
            cloud.list("searchLdap", query="a")
        assert not can(cloud, "alice")


def test_the_directory_is_listed_and_imported(cloud: Cloud, home: str, one: Slapd):
    one.person("dora", unit="guests")
    assert cloud.user.name == "user"
    one.person("user")
    created(cloud, "alice", home)

    def names(**more: Any) -> list[str]:
        return sorted(each["username"] for each in cloud.list("listLdapUsers", domainid=home, **more))

    assert names() == names(userfilter="NoFilter") == ["alice", "bob", "carol", "dora", "user"]
    assert names(userfilter="LocalDomain") == names(userfilter="AnyDomain") == names(listtype="new")
    assert names(listtype="new") == ["bob", "carol", "dora"]
    shown = {e["username"]: e.get("conflictingusersource") for e in cloud.list("listLdapUsers", domainid=home)}
    assert (shown["alice"], shown["user"], shown["bob"]) == ("ldap", "native", None)
    assert names(keyword="o") == ["bob", "carol", "dora"]
    assert len(names(page=2, pagesize=3)) == 2
    cloud.api("updateConfiguration", name="ldap.search.group.principle", value=one.group("juniors"))
    assert names() == ["bob"]
    cloud.api("resetConfiguration", name="ldap.search.group.principle")
    cloud.api("updateConfiguration", name="ldap.request.page.size", value=1)  # read in many pages
    made = cloud.list("importLdapUsers", domainid=home, group="seniors", accounttype=0, account="crew")
    assert made == []  # alice is there
    made = cloud.list("importLdapUsers", domainid=home, group="juniors", accounttype=0, account="crew")
    assert [(each["username"], each["principal"]) for each in made] == [("bob", one.dn("bob"))]
    assert (user_of(cloud, "bob")["account"], can(cloud, "bob")) == ("crew", True)
    made = cloud.list("importLdapUsers", domainid=home, accounttype=0, keyword="r")
    assert sorted(each["username"] for each in made) == ["carol", "dora"]  # the own user "user" stays who it is
    assert user_of(cloud, "user")["usersource"] == "native"
    made = cloud.list("importLdapUsers", accounttype=0, keyword="dora")
    (there,) = cloud.list("listDomains", name="guests")  # named as the unit
    assert cloud.list("listUsers", domainid=there["id"])[0]["username"] == "dora"
    with pytest.raises(Refused, match="no group 'nobody'"):
        cloud.list("importLdapUsers", domainid=home, group="nobody", accounttype=0)
    with pytest.raises(Refused, match="no user 'nobody'"):
        created(cloud, "nobody", home)


def test_the_directory_has_the_password_and_the_name(cloud: Cloud, home: str):
    id_ = created(cloud, "alice", home)["user"][0]["id"]
    changes: list[dict[str, Any]] = [{"password": "a new password"}, {"username": "bob"}]
    for parameters in changes:
        with pytest.raises(Refused, match="of the directory") as error:
            cloud.api("updateUser", id=id_, **parameters)
        assert error.value.code == 431
    cloud.api("updateUser", id=id_, firstname="Al")
    assert can(cloud, "alice")


def test_guesses_are_throttled(cloud: Cloud, home: str):
    created(cloud, "alice", home)
    form = {"command": "login", "response": "json", "username": "alice", "domain": "tests", "password": "wrong"}
    codes = [cloud.send("POST", data=form).status_code for _ in range(8)]
    assert codes[:5] == [531] * 5
    assert codes[-1] == 429
    assert cloud.send("POST", data=form | {"password": "secret of alice"}).status_code == 429


def test_the_bind_password_is_kept_and_never_shown(cloud: Cloud, home: str):
    (shown,) = cloud.list("listConfigurations", name="ldap.bind.password")
    assert "value" not in shown
    with cloud.services.database.read() as db:
        assert ROOT_PASSWORD not in repr(db.execute(sa.select(setting)).all())
    assert ROOT_PASSWORD not in cloud.request("ldapConfig", cloud.root, listall=True).text
    cloud.api("updateConfiguration", name="ldap.bind.password", value="wrong", domainid=home)
    with pytest.raises(Refused, match=r"bind\.principal") as error:
        cloud.list("listLdapUsers", domainid=home)
    assert error.value.code == 534


def test_it_is_set_up_in_one_call_and_removed(cloud: Cloud, one: Slapd):
    (shown,) = cloud.list(
        "ldapConfig",
        hostname="127.0.0.1",
        port=one.port,
        searchbase=one.suffix,
        binddn=one.principal,
        bindpass=ROOT_PASSWORD,
    )
    assert shown == {
        "hostname": "127.0.0.1",
        "port": str(one.port),
        "ssl": "false",
        "searchbase": one.suffix,
        "binddn": one.principal,
        "queryfilter": "(&(objectClass=inetOrgPerson)(uid=*))",
    }
    assert cloud.list("ldapConfig", listall=True) == [shown]
    assert len(cloud.list("searchLdap", query="*")) == 3
    with pytest.raises(Refused, match="queryfilter"):
        cloud.list("ldapConfig", hostname="127.0.0.1", searchbase=one.suffix, queryfilter="(uid=%u)")
    for name, value in (("search.group.principle", one.group("a*")), ("provider", "microsoftad")):
        cloud.api("updateConfiguration", name=f"ldap.{name}", value=value)
    (shown,) = cloud.list("ldapConfig", listall=True)
    group = one.group("a*").replace("*", "\\2a")  # in groups within it too: Active Directory's own rule
    assert f"(memberof:1.2.840.113556.1.4.1941:={group})" in shown["queryfilter"]
    cloud.api("ldapRemove")
    assert cloud.list("listLdapConfigurations", listall=True) == []
    with pytest.raises(Refused, match="no server is set up"):
        cloud.list("searchLdap", query="*")
    with cloud.services.database.read() as db:
        assert not db.execute(sa.select(setting).where(setting.c.name == "ldap.bind.password")).all()


def test_who_may_and_what_is_refused(cloud: Cloud, home: str, one: Slapd):
    group = one.group("juniors")
    commands: dict[str, dict[str, Any]] = {
        "addLdapConfiguration": {"hostname": "127.0.0.1", "port": one.port},
        "ldapCreateAccount": {"username": "alice", "accounttype": 0},
        "importLdapUsers": {},
        "searchLdap": {"query": "a"},
        "ldapConfig": {"listall": True},
        "ldapRemove": {},
        "linkDomainToLdap": {"domainid": home, "accounttype": 0, "type": "GROUP", "ldapdomain": group},
    }
    for caller in (cloud.user, cloud.domain_admin):
        for command, parameters in commands.items():
            assert cloud.request(command, caller, **parameters).status_code in (401, 432), command
    link: dict[str, Any] = {"account": "juniors", "ldapdomain": group, "domainid": home}
    assert cloud.request("linkAccountToLdap", cloud.foreign_admin, **link).status_code == 531
    assert cloud.request("listLdapUsers", cloud.foreign_admin, domainid=home).status_code == 531
    assert cloud.request("listLdapUsers", cloud.user).status_code in (401, 432)
    cloud.api("linkAccountToLdap", cloud.domain_admin, **link)
    assert cloud.list("listLdapConfigurations", cloud.domain_admin, listall=True) == []
    with pytest.raises(Refused, match="root admins only"):
        cloud.api("updateConfiguration", cloud.domain_admin, name="ldap.email.attribute", value="x", domainid=home)
    wrongs: list[dict[str, Any]] = [
        {"accounttype": 1},
        {"type": "TREE"},
        {"ldapdomain": "no dn"},
        {"account": "juniors", "accounttype": 2},
        {"admin": "alice"},
    ]
    for wrong in wrongs:
        with pytest.raises(Refused) as error:
            cloud.api("linkAccountToLdap", **(link | wrong))
        assert error.value.code == 431, wrong
    places: list[dict[str, Any]] = [
        {"hostname": "a b", "port": 389},
        {"hostname": "ldap://x", "port": 389},
        {"hostname": "x", "port": 0},
    ]
    for place in places:
        assert cloud.request("addLdapConfiguration", cloud.root, **place).status_code == 431
    assert cloud.request("addLdapConfiguration", cloud.root, hostname="127.0.0.1", port=one.port).status_code == 431
    for name, value in (
        ("ldap.truststore", "relative.pem"),
        ("ldap.username.attribute", "uid=*)(x"),
        ("ldap.provider", "x"),
    ):
        assert cloud.request("updateConfiguration", cloud.root, name=name, value=value).status_code == 431
