"""Settings at work: each has a test that is held to showing it, and what takes a running server to be seen is here."""

from __future__ import annotations

import ast
import math
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pileus.compute.tables import machine as machines
from pileus.core import database, plugins, settings
from pileus.core.jobs.tables import server
from pileus.infrastructure import agent_servers, reconnecting
from pileus.infrastructure.tables import host
from tests.api import test_password_reset as resets
from tests.api import test_second_factor as factors
from tests.api.proofs import PROOFS
from tests.api.test_purging import DAY, expunged, left
from tests.support.cloud import Cloud
from tests.support.smtp import mail_server
from tests.support.waiting import until
from tests.support.zones import simulated_zone

HERE = Path(__file__).parent


def put(cloud: Cloud, name: str, value: Any, **scope: Any) -> None:
    cloud.api("updateConfiguration", name=name, value=value, **scope)


def test_every_setting_has_a_test_that_shows_it() -> None:
    plugins.load_all()
    assert set(PROOFS) == set(settings.declared()), "each setting needs a test that shows what it does, in proofs.py"
    for test in set(PROOFS.values()):
        file, _, function = test.partition("::")
        tree = ast.parse((HERE / file).read_text())
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test


def test_a_host_may_be_silent_as_long_as_the_settings_say(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnecting, "_STARTED", -math.inf)  # this server has been there for long
    simulated_zone(cloud, hosts=1)
    with cloud.services.database.write() as db:
        db.execute(sa.update(host).values(hypervisor="KVM", last_report=database.now() - 20))

    def state() -> str:
        reconnecting.check_silence(cloud.services)
        return cloud.list("listHosts")[0]["state"]

    assert state() == "Up"  # 12 s by 2.5
    put(cloud, "ping.interval", 9)
    put(cloud, "ping.timeout", 3)
    assert state() == "Up"
    put(cloud, "ping.timeout", 2)
    assert state() == "Alert"
    (told,) = cloud.list("listAlerts")
    assert "has not reported for 18 s" in told["description"]
    with cloud.services.database.write() as db:
        db.execute(sa.update(host).values(state="Up", last_report=database.now() - 20))
    put(cloud, "ping.interval", 11)
    assert state() == "Up"


def test_agents_are_told_of_the_servers_that_the_settings_name(cloud: Cloud) -> None:
    zone = simulated_zone(cloud, hosts=2)
    first, second = sorted(each["id"] for each in cloud.list("listHosts"))
    told = agent_servers.of(cloud.services).told
    assert told(first).servers == []  # there is one server: its agents know it
    put(cloud, "host", "192.0.2.1, 192.0.2.2:9250,lb.example")
    assert told(first).servers == ["https://192.0.2.1:8250", "https://192.0.2.2:9250", "https://lb.example:8250"]
    assert told(first).servers == told(second).servers
    moment = database.now()
    with cloud.services.database.write() as db:
        db.execute(
            server.insert().values(
                uuid="b:1", name="b", agents_url="https://192.0.2.1:8250", started=moment, heartbeat=moment - 999
            )
        )
        cloud.engine.membership.refresh(db)
    assert told(first).servers == ["https://192.0.2.2:9250", "https://lb.example:8250"]  # the first is not alive
    put(cloud, "indirect.agent.lb.algorithm", "roundrobin")
    assert sorted(told(first).servers) == sorted(told(second).servers)
    assert told(first).servers[0] != told(second).servers[0]
    assert told(first).check == 0
    put(cloud, "indirect.agent.lb.check.interval", 30)
    assert told(first).check == 30
    put(cloud, "indirect.agent.lb.check.interval", 7, clusterid=zone["cluster"])
    assert (told(first).check, told(second).check) == (7, 7)


def test_purges_go_on_by_themselves(cloud: Cloud) -> None:
    expunged(cloud, 90, 2)
    put(cloud, "expunged.resources.purge.interval", 1)
    put(cloud, "expunged.resources.purge.delay", 0)
    assert left(cloud)["machine"] == 2
    put(cloud, "expunged.resources.purge.enabled", "true")
    until(lambda: left(cloud)["machine"] == 1, 15, "the purge")
    put(cloud, "expunged.resources.purge.delay", 3600)
    with cloud.services.database.write() as db:
        db.execute(sa.update(machines).values(removed=database.now() - 90 * DAY))
    time.sleep(2.5)
    assert left(cloud)["machine"] == 1  # an hour after the start of the server
    put(cloud, "expunged.resources.purge.delay", 0)
    until(lambda: left(cloud)["machine"] == 0, 15, "the next purge")


def test_second_factors_are_where_they_are_switched_on(cloud: Cloud) -> None:
    within = {"domainid": cloud.user.account["domainid"]}
    browser = factors.sign_in(cloud, cloud.user)
    assert browser.send(factors.SET_UP).status_code == 531
    put(cloud, "enable.user.2fa", "true", **within)
    assert browser.send(factors.SET_UP).status_code == 200
    assert factors.sign_in(cloud, cloud.stranger).send(factors.SET_UP).status_code == 531
    put(cloud, "enable.user.2fa", "true")
    put(cloud, "enable.user.2fa", "false", **within)
    assert factors.sign_in(cloud, cloud.stranger).send(factors.SET_UP).status_code == 200
    assert browser.send(factors.SET_UP).status_code == 531


def test_the_mail_for_a_new_password_is_as_the_settings_say(cloud: Cloud) -> None:
    begin = "user.password.reset"
    assert cloud.user.name == "user"
    asked = {"username": "user", "domain": "tests"}
    assert resets.post(cloud, "forgotPassword", **asked).status_code == 432
    with mail_server() as mail:
        for name, value in (("smtp.host", "127.0.0.1"), ("smtp.port", mail.port), ("enabled", "true")):
            put(cloud, f"{begin}.{name}", value)
        for name, value in (("email.sender", "help@ops.test"), ("mail.domain.url", "https://one.test")):
            put(cloud, f"{begin}.{name}", value)
        resets.ask(cloud, mail)
        put(cloud, f"{begin}.email.sender", "desk@ops.test")
        put(cloud, f"{begin}.mail.domain.url", "https://two.test/")
        resets.ask(cloud, mail)
        first, second = mail.messages
    assert (first["From"], second["From"]) == ("help@ops.test", "desk@ops.test")
    assert "https://one.test/client/" in resets.text_of(first)
    assert "https://two.test/client/" in resets.text_of(second)


FLAGS = {
    "allow.user.create.projects": "allowusercreateprojects",
    "allow.user.expunge.recover.vm": "allowuserexpungerecovervm",
    "allow.user.view.all.domain.accounts": "allowuserviewalldomainaccounts",
    "allow.user.view.destroyed.vm": "allowuserviewdestroyedvm",
    "enable.additional.vm.configuration": "additionalconfigenabled",
    "instance.lease.enabled": "instanceleaseenabled",
    "project.invite.required": "projectinviterequired",
}


def test_capabilities_tell_what_the_settings_say(cloud: Cloud) -> None:
    def able() -> dict[str, Any]:
        return cloud.api("listCapabilities", cloud.user)["capability"]

    before = able()
    assert before["allowusercreateprojects"] is True
    for name, field in FLAGS.items():
        put(cloud, name, not before[field])
        assert able()[field] is not before[field], name
    assert "apilimitmax" not in before
    for name, value in (("enabled", "true"), ("max", 70), ("interval", 9)):
        put(cloud, f"api.throttling.{name}", value)
    assert (able()["apilimitmax"], able()["apilimitinterval"]) == (70, 9)
    put(cloud, "allow.user.view.destroyed.vm", "false", accountid=cloud.user.account["id"])
    assert able()["allowuserviewdestroyedvm"] is False  # as it holds for who asks
    assert cloud.api("listCapabilities", cloud.other)["capability"]["allowuserviewdestroyedvm"] is True
    assert (before["securitygroupsenabled"], before["dynamicrolesenabled"]) == (False, True)
    simulated_zone(cloud, hosts=1)
    with cloud.services.database.write() as db:
        db.execute(sa.text("UPDATE zone SET security_groups = true"))
    assert able()["securitygroupsenabled"] is True
