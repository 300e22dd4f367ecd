"""Alerts: raised, counted up, mailed, archived, deleted; capacity is watched."""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy as sa

from pileus.core import alerts, events, mailing
from pileus.core.tables import alert
from pileus.resources import watching
from tests.api.test_zones import refused
from tests.support.cloud import Cloud
from tests.support.smtp import mail_server
from tests.support.waiting import until
from tests.support.zones import simulated_zone


def configure(cloud: Cloud, **settings: Any) -> None:
    for name, value in settings.items():
        cloud.api("updateConfiguration", name=name.replace("__", "."), value=value)


def raise_alert(cloud: Cloud, text: str, type_: str = "ALERT.COMPUTE.HOST") -> None:
    with cloud.services.database.write() as db:
        events.alert(db, type_, text)


def test_an_alert_is_listed_counted_up_archived_and_deleted(cloud: Cloud) -> None:
    raise_alert(cloud, "host h1 is silent")
    raise_alert(cloud, "host h1 is silent")
    (found,) = cloud.list("listAlerts")
    assert (found["type"], found["name"]) == (7, "ALERT.COMPUTE.HOST")
    with cloud.services.database.read() as db:
        assert db.execute(sa.select(alert.c.times)).scalar_one() == 2
    assert cloud.list("listAlerts", type="ALERT.COMPUTE.HOST") == cloud.list("listAlerts", type=7) == [found]
    assert cloud.list("listAlerts", type=8) == cloud.list("listAlerts", keyword="h2") == []
    assert cloud.api("listInfrastructure")["infrastructure"]["alerts"] == 1
    assert "needed" in refused(cloud, "archiveAlerts").text
    cloud.api("archiveAlerts", ids=found["id"])
    assert cloud.list("listAlerts") == []
    raise_alert(cloud, "host h1 is silent")  # again: that is news
    (again,) = cloud.list("listAlerts")
    assert again["id"] != found["id"]
    cloud.api("deleteAlerts", type="7")
    assert cloud.list("listAlerts") == []
    assert refused(cloud, "listAlerts", cloud.user).code in (401, 432)
    assert {"alerttypeid": 14, "name": "ALERT.MANAGEMENT"} in cloud.list("listAlertTypes")


def test_alerts_are_mailed_once(cloud: Cloud) -> None:
    with mail_server() as server:
        configure(
            cloud,
            alert__email__addresses="a@ops.test, b@ops.test",
            alert__email__sender="cloud@ops.test",
            alert__smtp__host="127.0.0.1",
            alert__smtp__port=server.port,
            alert__smtp__useAuth=True,
            alert__smtp__username="postman",
            alert__smtp__password="the secret",
        )
        cloud.job("generateAlert", type=14, name="Fire", description="The cellar burns")
        until(lambda: (mailing.mail_alerts(cloud.services), server.messages)[1], 10)
        mailing.mail_alerts(cloud.services)
        (message,) = server.messages
        assert message["To"] == "a@ops.test, b@ops.test"
        assert message["From"] == "cloud@ops.test"
        assert "Fire" in message["Subject"]
        assert "The cellar burns" in message.get_payload()
        assert server.credentials == ["\0postman\0the secret"]
    shown = cloud.list("listConfigurations", name="alert.smtp.password")[0]
    assert "value" not in shown
    with cloud.services.database.read() as db:
        stored = db.execute(sa.text("SELECT value FROM setting WHERE name = 'alert.smtp.password'")).scalar_one()
    assert "secret" not in stored


def test_a_mail_server_that_is_down_is_tried_again(cloud: Cloud) -> None:
    with mail_server() as server:
        port = server.port
    configure(cloud, alert__email__addresses="a@ops.test", alert__smtp__host="127.0.0.1", alert__smtp__port=port)
    raise_alert(cloud, "nobody listens")
    mailing.mail_alerts(cloud.services)
    with cloud.services.database.read() as db:
        row = db.execute(sa.select(alert)).one()
    assert row.mailed is None
    assert row.mail_tries >= 1
    with mail_server() as server:
        configure(cloud, alert__smtp__port=server.port)
        until(lambda: (mailing.mail_alerts(cloud.services), server.messages)[1], 10)
        assert len(server.messages) == 1


def test_capacity_above_its_threshold_is_told(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=1)
    cloud.services.plugins["resources.capacity.checked"] = -1e9
    watching.check_capacity(cloud.services)
    assert cloud.list("listAlerts") == []
    name = "cluster.memory.allocated.capacity.notificationthreshold"
    with cloud.services.database.write() as db:
        db.execute(sa.text("UPDATE host SET used_memory_mib = memory_mib / 2"))
    cloud.api("updateConfiguration", name=name, value="0.4", clusterid=zone["cluster"])
    cloud.api("updateConfiguration", name="capacity.check.period", value="1000")
    deadline = time.monotonic() + 10
    while not cloud.list("listAlerts") and time.monotonic() < deadline:
        watching.check_capacity(cloud.services)
        time.sleep(0.1)
    (found,) = cloud.list("listAlerts")
    assert found["type"] == alerts.TYPES["ALERT.MEMORY"]
    assert "c1" in found["description"]


def test_generated_alerts_are_checked(cloud: Cloud) -> None:
    assert "type" in refused(cloud, "generateAlert", type=99, name="x", description="y").text
    cloud.job("generateAlert", type=1, name="x", description="y")
    assert cloud.list("listAlerts")[0]["name"] == "x"
    assert [event["type"] for event in cloud.list("listEvents", type="ALERT.GENERATE")] == ["ALERT.GENERATE"] * 3
