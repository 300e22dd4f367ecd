"""The limit of calls of an account."""

from __future__ import annotations

import time

import pytest

from pileus.core import database
from pileus.core.jobs.tables import server
from tests.support.cloud import Cloud, Refused


def test_calls_of_an_account_are_limited(cloud: Cloud):
    user, other = cloud.user, cloud.other
    with pytest.raises(Refused) as caught:
        cloud.api("getApiLimit", user)
    assert caught.value.code == 431
    for name, value in (("max", 5), ("interval", 3), ("enabled", "true")):
        cloud.api("updateConfiguration", name=f"api.throttling.{name}", value=value)
    time.sleep(1.1)
    codes = [cloud.request("listZones", user).status_code for _ in range(7)]
    assert codes == [200] * 5 + [429] * 2
    refusal = cloud.request("listZones", user).json()["listzonesresponse"]
    assert (refusal["errorcode"], refusal["cserrorcode"]) == (429, 4545)
    limit = cloud.api("getApiLimit", user)["apilimit"]
    assert (limit["apiIssued"], limit["apiAllowed"], limit["account"]) == (8, 0, "user")
    assert 0 < limit["expireAfter"] <= 3000
    assert cloud.request("listZones", other).status_code == 200  # each account for itself
    assert {cloud.request("listZones", cloud.root).status_code for _ in range(7)} == {200}
    cloud.api("resetApiLimit", account=user.account["id"])
    assert cloud.request("listZones", user).status_code == 200
    for _ in range(6):
        cloud.request("listZones", user)
    time.sleep(3)
    assert cloud.request("listZones", user).status_code == 200  # the next interval


def test_each_of_several_servers_admits_its_share(cloud: Cloud):
    user, membership = cloud.user, cloud.engine.membership
    for name, value in (("max", 7), ("interval", 60), ("enabled", "true")):
        cloud.api("updateConfiguration", name=f"api.throttling.{name}", value=value)
    moment = database.now() + 3600
    with cloud.services.database.write() as db:
        for name in ("b", "c"):
            db.execute(server.insert().values(uuid=f"{name}:1", name=name, started=moment, heartbeat=moment))
        membership.refresh(db)
    assert [cloud.request("listZones", user).status_code for _ in range(4)] == [200, 200, 429, 429]  # 3 x 2 are not 7
    limit = cloud.api("getApiLimit", user)["apilimit"]
    assert (limit["apiIssued"], limit["apiAllowed"]) == (4, 0)
    cloud.api("updateConfiguration", name="api.throttling.max", value=2)
    cloud.api("resetApiLimit", account=user.account["id"])
    assert [cloud.request("listZones", user).status_code for _ in range(2)] == [200, 429]  # one at least
    cloud.api("updateConfiguration", name="api.throttling.max", value=7)
    with cloud.services.database.write() as db:
        db.execute(server.delete().where(server.c.name.in_(["b", "c"])))
        membership.refresh(db)
    assert [cloud.request("listZones", user).status_code for _ in range(6)] == [200] * 5 + [
        429
    ]  # the others' parts, too
