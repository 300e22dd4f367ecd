"""Events and jobs: what is recorded, in which order, and who sees it."""

from __future__ import annotations

import pytest

from tests.support.cloud import Cloud, Refused


def test_a_synchronous_command_leaves_one_event(cloud: Cloud):
    made = cloud.api("createDomain", name="one")["domain"]
    (event,) = cloud.list("listEvents", listall=True)
    assert (event["type"], event["state"], event["level"]) == ("DOMAIN.CREATE", "Completed", "INFO")
    assert (event["username"], event["account"], event["domainpath"]) == ("admin", "admin", "ROOT")
    assert (event["resourcetype"], event["resourceid"]) == ("Domain", made["id"])
    assert event["archived"] is False


def test_a_refused_command_leaves_none(cloud: Cloud):
    with pytest.raises(Refused):
        cloud.api("createDomain", name="a/b")
    assert cloud.api("listEvents", listall=True) == {}


def test_a_job_leaves_three_events_in_order(cloud: Cloud):
    made = cloud.api("createDomain", name="one")["domain"]
    cloud.job("deleteDomain", id=made["id"])
    ended, began, taken = cloud.list("listEvents", listall=True, type="DOMAIN.DELETE")
    assert [e["state"] for e in (taken, began, ended)] == ["Scheduled", "Started", "Completed"]
    assert [e.get("parentid") for e in (taken, began, ended)] == [None, taken["id"], taken["id"]]
    assert "ROOT/one" in ended["description"]
    assert cloud.api("listEvents", startid=taken["id"], listall=True)["count"] == 3


def test_a_failed_job_leaves_an_error(cloud: Cloud, monkeypatch: pytest.MonkeyPatch):
    from pileus.identity import workflows

    made = cloud.api("createDomain", name="one")["domain"]
    monkeypatch.setattr(workflows, "_remove_domain", lambda _db, _id: 1 // 0)
    with pytest.raises(Refused) as refused:
        cloud.job("deleteDomain", id=made["id"])
    assert refused.value.code == 530
    assert "division" not in refused.value.text
    (event,) = cloud.list("listEvents", listall=True, level="error")
    assert (event["type"], event["state"]) == ("DOMAIN.DELETE", "Completed")
    assert event["description"].startswith("Error while")


def test_filters_of_events(cloud: Cloud):
    for name in ("one", "two"):
        cloud.api("createDomain", name=name)
    count = lambda **filters: cloud.api("listEvents", listall=True, **filters).get("count", 0)  # noqa: E731
    assert count(keyword="ROOT/t") == 1
    assert count(type="DOMAIN.CREATE", level="INFO", state="completed") == 2
    assert count(type="DOMAIN.DELETE") == 0
    assert count(startdate="2020-01-01", enddate="2020-01-02") == 0
    assert count(startdate="2020-01-01", enddate="2999-01-01T00:00:00+0000") == 2
    assert count(archived=True) == 0
    made = cloud.list("listDomains", name="two", listall=True)[0]["id"]
    assert count(resourcetype="domain", resourceid=made) == 1
    for wrong in ({"level": "loud"}, {"state": "odd"}, {"resourceid": made}):
        with pytest.raises(Refused) as refused:
            cloud.api("listEvents", **wrong)
        assert refused.value.code == 431


def test_events_are_seen_by_their_owners(cloud: Cloud):
    cloud.api("registerUserKeys", id=cloud.user.account["user"][0]["id"])
    cloud._people.clear()  # the keys that were remembered have ended
    keys = cloud.api("registerUserKeys", id=cloud.list("listUsers", username="user", listall=True)[0]["id"])["userkeys"]
    mine = type(cloud.root)("user", keys["apikey"], keys["secretkey"])
    assert {e["type"] for e in cloud.list("listEvents", mine)} == {"REGISTER.USER.KEY"}
    assert {e["account"] for e in cloud.list("listEvents", mine, listall=True)} == {"user"}
    assert cloud.api("listEvents", cloud.other).get("event", []) != []
    event = cloud.list("listEvents", mine)[0]["id"]
    with pytest.raises(Refused) as refused:
        cloud.api("listEvents", cloud.stranger, id=event)
    assert refused.value.code == 531


def test_a_foreign_job_is_not_seen(cloud: Cloud):
    below = cloud.api("createDomain", cloud.domain_admin, name="below")["domain"]["id"]
    job = cloud.api("deleteDomain", cloud.domain_admin, id=below)["jobid"]
    cloud.wait("deleteDomain", job)
    assert cloud.api("queryAsyncJobResult", cloud.domain_admin, jobid=job)["jobstatus"] == 1
    for foreign in (cloud.user, cloud.stranger, cloud.foreign_admin):
        with pytest.raises(Refused) as refused:
            cloud.api("queryAsyncJobResult", foreign, jobid=job)
        assert refused.value.code == 431
        assert job not in [j["jobid"] for j in cloud.list("listAsyncJobs", foreign, listall=True)]
    assert cloud.list("listAsyncJobs", cloud.domain_admin)[0]["jobid"] == job
    with pytest.raises(Refused) as refused:
        cloud.api("queryAsyncJobResult", jobid="00000000-0000-4000-8000-000000000000")
    assert refused.value.code == 431


def test_a_job_is_found_by_its_object(cloud: Cloud):
    made = cloud.api("createDomain", name="one")["domain"]["id"]
    job = cloud.api("deleteDomain", id=made)["jobid"]
    cloud.wait("deleteDomain", job)
    assert cloud.api("queryAsyncJobResult", resourceid=made, resourcetype="domain")["jobid"] == job
    with pytest.raises(Refused) as refused:
        cloud.api("queryAsyncJobResult")
    assert refused.value.code == 431
    assert cloud.api("listAsyncJobs", keyword="deletedomain", startdate="2020-01-01")["count"] == 1
    assert cloud.api("listAsyncJobs", startdate="2999-01-01") == {}
