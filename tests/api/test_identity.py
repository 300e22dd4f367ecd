"""Domains, accounts, users and keys: rules, roles and what is deleted with what."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from pileus.core.database import now
from pileus.core.jobs import Job
from pileus.identity import cleanup
from pileus.identity.tables import account, domain, role, user
from tests.support.cloud import PASSWORD, Cloud, Person, Refused
from tests.support.rows import Rows

PROFILE = {"password": PASSWORD, "firstname": "F", "lastname": "L", "email": "f@l.test"}


def refused(cloud: Cloud, command: str, caller: Person | None = None, **parameters: object) -> Refused:
    with pytest.raises(Refused) as caught:
        cloud.job(command, caller, **parameters)
    return caught.value


def role_id(cloud: Cloud, name: str) -> str:
    with cloud.services.database.read() as db:
        return db.execute(sa.select(role.c.uuid).where(role.c.name == name)).scalar_one()


def test_a_new_cloud_has_root_and_admin(cloud: Cloud):
    (root,) = cloud.list("listDomains", listall=True)
    assert (root["name"], root["path"], root["level"], root["haschild"]) == ("ROOT", "ROOT", 0, False)
    (admin,) = cloud.list("listAccounts", listall=True)
    assert (admin["name"], admin["accounttype"], admin["rolename"]) == ("admin", 1, "Root Admin")
    assert [u["username"] for u in admin["user"]] == ["admin"]
    with cloud.services.database.read() as db:
        assert len(db.execute(sa.select(role)).all()) == 8


def test_domains_form_a_tree(cloud: Cloud):
    upper = cloud.api("createDomain", name="upper", networkdomain="upper.test")["domain"]
    lower = cloud.api("createDomain", name="lower", parentdomainid=upper["id"])["domain"]
    assert (lower["path"], lower["level"], lower["parentdomainname"]) == ("ROOT/upper/lower", 2, "upper")
    assert cloud.list("listDomains", id=upper["id"])[0]["haschild"] is True
    assert refused(cloud, "createDomain", name="LOWER", parentdomainid=upper["id"]).code == 431
    assert refused(cloud, "createDomain", name="a/b").code == 431
    assert cloud.api("createDomain", name="lower")["domain"]["path"] == "ROOT/lower"


def test_a_domain_admin_rules_the_own_subtree_only(cloud: Cloud):
    chief, foreign = cloud.domain_admin, cloud.foreign_admin
    assert {u["iscallerchilddomain"] for u in cloud.list("listUsers", chief, listall=True)} == {True}
    below = cloud.api("createDomain", chief, name="below")["domain"]
    assert below["path"] == "ROOT/tests/below"
    assert [d["path"] for d in cloud.list("listDomains", chief, listall=True)] == ["ROOT/tests", "ROOT/tests/below"]
    for wrong in (foreign.account["domainid"], cloud.list("listDomains")[0]["id"]):
        assert refused(cloud, "createDomain", chief, name="x", parentdomainid=wrong).code == 531
        assert refused(cloud, "listDomains", chief, id=wrong).code == 531
        assert (
            refused(cloud, "createAccount", chief, username="x", accounttype=0, domainid=wrong, **PROFILE).code == 531
        )
        assert refused(cloud, "deleteDomain", chief, id=wrong).code == 531
    assert refused(cloud, "deleteDomain", chief, id=chief.account["domainid"]).code == 531
    made = cloud.api("createAccount", chief, username="new", accounttype=0, domainid=below["id"], **PROFILE)["account"]
    assert made["domainpath"] == "ROOT/tests/below"
    assert cloud.job("deleteDomain", chief, id=below["id"], cleanup=True) == {"success": True}


def test_nobody_gives_more_than_the_own_role(cloud: Cloud):
    chief = cloud.domain_admin
    answer = refused(cloud, "createAccount", chief, username="boss", accounttype=1, **PROFILE)
    assert (answer.code, "above" in answer.text) == (531, True)
    boss = role_id(cloud, "Root Admin")
    assert refused(cloud, "createAccount", chief, username="boss", roleid=boss, **PROFILE).code == 531
    assert refused(cloud, "createAccount", username="boss", roleid=boss, accounttype=0, **PROFILE).code == 431
    assert refused(cloud, "createAccount", username="boss", accounttype=9, **PROFILE).code == 431
    assert refused(cloud, "createAccount", username="boss", **PROFILE).code == 431


def test_a_read_only_role_reads_only(cloud: Cloud):
    account_ = cloud.api(
        "createAccount", username="auditor", roleid=role_id(cloud, "Read-Only Admin - Default"), **PROFILE
    )["account"]
    keys = cloud.api("registerUserKeys", id=account_["user"][0]["id"])["userkeys"]
    auditor = Person("auditor", keys["apikey"], keys["secretkey"], account_)
    admin = cloud.list("listAccounts", name="admin", listall=True)[0]
    assert len(cloud.list("listAccounts", auditor, listall=True)) == 2
    assert refused(cloud, "createDomain", auditor, name="x").code == 401
    assert refused(cloud, "getUserKeys", auditor, id=admin["user"][0]["id"]).code == 401
    names = {api["name"] for api in cloud.list("listApis", auditor)}
    assert {"listAccounts", "queryAsyncJobResult"} <= names
    own = {"setupUserTwoFactorAuthentication", "validateUserTwoFactorAuthenticationCode", "login", "logout"}
    own |= {"forgotPassword", "resetPassword"}
    assert not [n for n in names - own if not n.startswith(("list", "query", "find", "get"))]
    assert "getUserKeys" not in names


def test_names_are_unique_in_their_domain(cloud: Cloud):
    user_ = cloud.user
    within = user_.account["domainid"]
    answer = refused(cloud, "createAccount", username="User", accounttype=0, domainid=within, **PROFILE)
    assert (answer.code, "account" in answer.text) == (431, True)
    answer = refused(cloud, "createAccount", account="new", username="USER", accounttype=0, domainid=within, **PROFILE)
    assert (answer.code, "username" in answer.text) == (431, True)
    assert not [a for a in cloud.list("listAccounts", listall=True) if a["name"] == "new"]  # all or nothing
    assert cloud.api("createAccount", username="user", accounttype=0, **PROFILE)["account"]["domain"] == "ROOT"


def test_an_account_gets_more_users(cloud: Cloud):
    owner = cloud.user
    made = cloud.api("createUser", username="second", timezone="Europe/Berlin", **owner.own, **PROFILE)["user"]
    assert (made["account"], made["timezone"], made["state"]) == ("user", "Europe/Berlin", "enabled")
    assert "secretkey" not in made
    assert [u["username"] for u in cloud.list("listUsers", owner)] == ["user", "second"]
    assert [u["username"] for u in cloud.list("listUsers", cloud.other)] == ["other"]
    assert refused(cloud, "createUser", username="third", timezone="Mars/Base", **owner.own, **PROFILE).code == 431
    assert refused(cloud, "createUser", cloud.domain_admin, username="x", account="stranger", **PROFILE).code == 431
    assert refused(cloud, "createUser", cloud.foreign_admin, username="x", **owner.own, **PROFILE).code == 531


def test_keys_belong_to_their_user(cloud: Cloud):
    mine = cloud.user.account["user"][0]["id"]
    assert cloud.api("getUserKeys", cloud.user, id=mine)["userkeys"] == {
        "apikey": cloud.user.apikey,
        "secretkey": cloud.user.secretkey,
    }
    for stranger in (cloud.other, cloud.stranger, cloud.foreign_admin):
        assert refused(cloud, "getUserKeys", stranger, id=mine).code == 531
        assert refused(cloud, "registerUserKeys", stranger, id=mine).code == 531
    assert cloud.api("getUserKeys", cloud.domain_admin, id=mine)["userkeys"]["apikey"] == cloud.user.apikey
    admin = cloud.list("listUsers")[0]["id"]
    assert refused(cloud, "getUserKeys", cloud.domain_admin, id=admin).code == 531
    assert refused(cloud, "registerUserKeys", id=1).code == 531  # the system's user


def test_new_keys_end_the_old_ones_at_once(cloud: Cloud):
    before = cloud.user
    assert cloud.request("listUsers", before).status_code == 200
    keys = cloud.api("registerUserKeys", before, id=before.account["user"][0]["id"])["userkeys"]
    assert cloud.request("listUsers", before).status_code == 401
    assert cloud.request("listUsers", Person("user", keys["apikey"], keys["secretkey"])).status_code == 200


def test_deleting_an_account_ends_its_users_and_frees_the_name(cloud: Cloud):
    person = cloud.user
    assert cloud.request("listUsers", person).status_code == 200
    assert cloud.job("deleteAccount", id=person.account["id"]) == {"success": True}
    assert cloud.request("listUsers", person).status_code == 401
    assert refused(cloud, "listAccounts", id=person.account["id"]).code == 431
    with cloud.services.database.read() as db:
        assert db.execute(sa.select(user.c.api_key).where(user.c.removed.is_not(None))).scalar_one() is None
    again = cloud.api("createAccount", username="user", accounttype=0, domainid=person.account["domainid"], **PROFILE)[
        "account"
    ]
    assert again["id"] != person.account["id"]


def test_what_cannot_be_deleted(cloud: Cloud):
    admin = cloud.list("listAccounts")[0]["id"]
    assert refused(cloud, "deleteAccount", id=admin).code == 531
    assert refused(cloud, "deleteAccount", id=1).code == 531
    assert refused(cloud, "deleteDomain", id=1).code == 531
    assert refused(cloud, "deleteAccount", cloud.domain_admin, id=cloud.domain_admin.account["id"]).code == 531
    assert refused(cloud, "deleteAccount", cloud.domain_admin, id=cloud.stranger.account["id"]).code == 531
    assert cloud.list("listAccounts", id=cloud.stranger.account["id"])[0]["state"] == "enabled"


def test_a_failed_deletion_leaves_the_account_as_it_was(cloud: Cloud, monkeypatch: pytest.MonkeyPatch):
    person = cloud.user

    def fail(job: Job, account_id: int) -> None:
        job.commit("broken", lambda _db: 1 // 0)

    monkeypatch.setattr(cleanup, "_cleaners", [(1, fail)])
    assert refused(cloud, "deleteAccount", id=person.account["id"]).code == 530
    assert cloud.list("listAccounts", id=person.account["id"])[0]["state"] == "enabled"
    assert refused(cloud, "deleteDomain", id=person.account["domainid"], cleanup=True).code == 530
    assert cloud.list("listDomains", id=person.account["domainid"])[0]["state"] == "Active"
    assert cloud.request("listUsers", person).status_code == 200


def test_a_failed_deletion_unlocks_only_what_it_has_locked(cloud: Cloud, monkeypatch: pytest.MonkeyPatch):
    first, second, third = cloud.user, cloud.other, cloud.person("third")
    cloud.job("disableAccount", id=first.account["id"], lock=True)
    cloud.job("disableAccount", id=third.account["id"], lock=False)

    def fail(job: Job, account_id: int) -> None:
        job.commit("broken", lambda _db: 1 // 0)

    monkeypatch.setattr(cleanup, "_cleaners", [(1, fail)])
    assert refused(cloud, "deleteAccount", id=first.account["id"]).code == 530
    assert refused(cloud, "deleteDomain", id=first.account["domainid"], cleanup=True).code == 530
    states = {one["name"]: one["state"] for one in cloud.list("listAccounts", listall=True)}
    assert [states[one.name] for one in (first, second, third)] == ["locked", "enabled", "disabled"]


def test_a_domain_with_cleanup_takes_everything_along(cloud: Cloud):
    assert cloud.user.name
    assert cloud.other.name
    top = cloud.domain("tests")["id"]
    below = cloud.api("createDomain", name="below", parentdomainid=top)["domain"]["id"]
    cloud.api("createAccount", username="deep", accounttype=0, domainid=below, **PROFILE)
    assert refused(cloud, "deleteDomain", id=top).code == 536
    assert cloud.job("deleteDomain", id=top, cleanup=True) == {"success": True}
    assert [d["name"] for d in cloud.list("listDomains", listall=True)] == ["ROOT"]
    assert [a["name"] for a in cloud.list("listAccounts", listall=True)] == ["admin"]


def test_nobody_enters_a_domain_that_is_being_deleted(cloud: Cloud):
    empty = cloud.api("createDomain", name="empty")["domain"]["id"]
    with cloud.services.database.write() as db:
        db.execute(sa.update(domain).where(domain.c.uuid == empty).values(state="Inactive"))
    assert refused(cloud, "createAccount", username="late", accounttype=0, domainid=empty, **PROFILE).code == 431
    assert refused(cloud, "createDomain", name="late", parentdomainid=empty).code == 431


def test_lists_keep_to_what_the_caller_may_see(cloud: Cloud):
    people = (cloud.user, cloud.other, cloud.stranger, cloud.domain_admin, cloud.foreign_admin)
    seen = {
        who.name: sorted(a["name"] for a in cloud.list("listAccounts", who, listall=True, isrecursive=True))
        for who in people
    }
    assert seen == {
        "user": ["user"],
        "other": ["other"],
        "stranger": ["stranger"],
        "chief": ["chief", "other", "user"],
        "governor": ["governor", "stranger"],
    }
    assert len(cloud.list("listAccounts", listall=True)) == 6
    found = cloud.list("listAccounts", domainid=cloud.user.account["domainid"])
    assert sorted(a["name"] for a in found) == ["chief", "other", "user"]
    assert [a["name"] for a in cloud.list("listAccounts", listall=True, keyword="STRANG")] == ["stranger"]


def test_what_an_account_owns_is_named_when_nothing_cleans_it(cloud: Cloud, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cleanup, "_cleaners", [])
    person = cloud.user
    with cloud.services.database.write() as db:
        owner = db.execute(sa.select(account).where(account.c.uuid == person.account["id"])).one()
        volume = account.metadata.tables["volume"]
        Rows(db).make(volume, account_id=owner.id, domain_id=owner.domain_id)
    answer = refused(cloud, "deleteAccount", id=person.account["id"])
    assert (answer.code, "1 in volume" in answer.text) == (536, True)
    with cloud.services.database.write() as db:
        db.execute(sa.update(volume).values(removed=now()))
    assert cloud.job("deleteAccount", id=person.account["id"]) == {"success": True}


@pytest.mark.parametrize("name", ["-bad-.x", "two words", "a..b", "x.example\nserver=192.0.2.1", "é.example", "a" * 64])
def test_a_network_domain_must_be_a_dns_name(cloud: Cloud, name: str) -> None:
    made = cloud.api("createDomain", name="d", networkdomain="D.Example.")["domain"]
    assert made["networkdomain"] == "d.example"
    who = {"username": "x", "password": "Password-1", "firstname": "x", "lastname": "y", "email": "x@example.org"}
    for command, parameters in (
        ("createDomain", {"name": "other"}),
        ("updateDomain", {"id": made["id"]}),
        ("createAccount", {**who, "accounttype": 0}),
        ("updateAccount", {"id": cloud.user.account["id"]}),
    ):
        with pytest.raises(Refused) as refused:
            cloud.api(command, networkdomain=name, **parameters)
        assert refused.value.code == 431
        assert "networkdomain" in refused.value.text
